"""The cases' data: what each promises of its owners, that the seed decides, and that the owners differ."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import data
from course_lib.data import NaturalClients, download
from course_lib.data.cases import hospitals, markets, payments, ratings, road_signs, sensors, voices
from tests.data.test_natural import Server, assert_each_example_has_one_owner, serve

OWNERS = {
    "payments": payments.BANKS, "markets": markets.MARKETS, "hospitals": len(hospitals.HOSPITALS), "sensors": sensors.PEOPLE,
    "voices": voices.SPEAKERS, "road_signs": road_signs.CARS, "ratings": ratings.PEOPLE,
}  # fmt: skip
SHAPES = {
    "payments": (16,), "markets": (15,), "hospitals": (30,), "sensors": (3, 32), "voices": (1, 16, 16), "road_signs": (3, 16, 16),
    "ratings": (2, 60),
}  # fmt: skip


@pytest.mark.parametrize("name", OWNERS)
def test_a_case_has_its_owners_and_the_seed_decides(name: str) -> None:
    first, again, other = (data.load_by_client(name, seed=seed) for seed in (3, 3, 4))
    assert_each_example_has_one_owner(first)
    assert len(first) == OWNERS[name] and first.train.shape == SHAPES[name]
    assert torch.equal(first.train.x, again.train.x) and torch.equal(first.test.y, again.test.y)
    assert first.names == other.names and not torch.equal(first.test.x[:20], other.test.x[:20])
    share = len(first.test) / (len(first.train) + len(first.test))
    assert share == pytest.approx(0.2, abs=0.02)
    assert len(data.load_by_client(name, seed=3, test_fraction=0.5).test) > 2 * len(first.test)


@pytest.mark.parametrize("name", ["sensors", "voices", "road_signs"])
def test_classes_can_be_told_apart_and_owners_differ(name: str) -> None:
    """The nearest mean of a class is right more often than chance; that of the owner's own records is another one."""
    found = data.load_by_client(name, seed=0)
    x, tests = found.train.x.flatten(1), found.test.x.flatten(1)
    if name == "sensors":  # a rhythm has no phase: its strength at each frequency is what tells
        x, tests = (torch.fft.rfft(one.x).abs().flatten(1) for one in (found.train, found.test))
    means = torch.stack([x[found.train.y == label].mean(0) for label in range(len(found.train.classes))])
    hits = (torch.cdist(tests, means).argmin(1) == found.test.y).double().mean().item()
    assert hits > 2.2 / len(found.train.classes)
    mixtures = torch.stack(
        [torch.bincount(found.train.y[own], minlength=len(means)) / len(own) for own in found.clients]
    )
    assert mixtures.std(0).mean() > 0.05


# --- payments ---


def test_payments_have_one_fraud_in_a_hundred_and_every_bank_some_on_both_sides() -> None:
    found = data.load_by_client("payments", seed=3)
    share = torch.cat([found.train.y, found.test.y]).double().mean().item()
    assert 0.008 < share < 0.013
    for owned, whole in ((found.clients, found.train), (found.local_tests, found.test)):
        assert all(whole.y[part].sum() >= 1 for part in owned)


def test_a_bank_is_the_same_bank_whatever_their_number() -> None:
    few, many = payments.banks(5, number=2), payments.banks(5)
    assert list(few) == list(many)[:2]
    assert all(torch.equal(few[bank].x, many[bank].x) and torch.equal(few[bank].y, many[bank].y) for bank in few)
    with pytest.raises(ValueError, match="number=0"):
        payments.banks(5, number=0)


def test_banks_differ_in_merchants_amounts_and_frauds() -> None:
    """A bank against itself in another year is the measure: two banks are further apart than that."""
    first, again = payments.banks(0), payments.banks(1)
    merchants = slice(len(payments.SCALES), None)

    def habits(bank: data.Dataset, label: int) -> torch.Tensor:
        return bank.x[bank.y == label].mean(0)

    own = torch.stack([(habits(first[b], 0) - habits(again[b], 0))[merchants].abs().sum() for b in first])
    others = torch.stack([
        (habits(a, 0) - habits(b, 0))[merchants].abs().sum()
        for a, b in zip(first.values(), list(first.values())[1:], strict=False)
    ])  # fmt: skip
    assert others.mean() > 4 * own.mean()
    amounts = torch.stack([habits(bank, 0)[0] for bank in first.values()])
    assert amounts.std() > 0.2


# --- markets ---


def test_no_day_of_a_markets_test_is_in_its_training_and_training_comes_first() -> None:
    for train, test in list(markets.markets(0, 0.2).values())[:3]:
        trained = set(train.x[:, : markets.OWN].flatten().tolist())
        assert not trained & set(test.x[:, : markets.OWN].flatten().tolist())
        # The latest return of one example is the second latest of the next: both parts are in order of time.
        for part in (train, test):
            assert torch.equal(part.x[:-1, markets.OWN - 1], part.x[1:, markets.OWN - 2])


def test_a_markets_label_is_what_the_next_example_has_seen() -> None:
    for train, _ in list(markets.markets(1, 0.2).values())[:3]:
        came = train.x[1:, markets.OWN - 1]
        expected = 1 + (came > markets.STAYS).long() - (came < -markets.STAYS).long()
        assert torch.equal(train.y[:-1], expected)


# --- hospitals ---


def test_every_patient_is_in_one_hospital_and_the_cancer_centre_sees_the_malignant_ones() -> None:
    first, other = hospitals.hospitals(0), hospitals.hospitals(1)
    for dealt in (first, other):
        assert sum(map(len, dealt.values())) == 569 and {len(own) for own in dealt.values()} == {113, 114}
        share = [own.y.double().mean().item() for own in dealt.values()]
        assert share == sorted(share) and share[0] < 0.2 and share[-1] > 0.8
    rows = [{tuple(row.tolist()) for own in dealt.values() for row in own.x} for dealt in (first, other)]
    assert rows[0] == rows[1]  # the same patients, dealt otherwise
    assert not torch.equal(first["City hospital"].x, other["City hospital"].x)
    everybody = torch.cat([own.x for own in first.values()])
    assert (
        everybody.mean(0).abs().max() < 0.5 and 0.4 < everybody.std(0).min() < everybody.std(0).max() < 2
    )  # the scales fit


# --- ratings ---


def assert_nobody_is_told_the_answer(found: NaturalClients) -> None:
    """The film in question is never in the history, and a film of the test is in nobody's own history."""
    for part in (found.train, found.test):
        assert (part.x[:, 1].sum(1) == 1).all()
        assert (part.x[:, 0] * part.x[:, 1] == 0).all()
    for own, tests in zip(found.clients, found.local_tests, strict=True):
        known = found.train.x[own][:, 0].abs().amax(0)
        asked = found.test.x[tests][:, 1].amax(0)
        assert (known * asked == 0).all()


def test_a_history_does_not_hold_the_answer() -> None:
    found = data.load_by_client("ratings", seed=2)
    assert_nobody_is_told_the_answer(found)
    own = found.train.subset(found.clients[0])
    first = own.x[0, 0] + own.x[0, 1] * (2 * own.y[0] - 1)
    for row, label in zip(own.x, own.y, strict=True):
        assert torch.equal(row[0] + row[1] * (2 * label - 1), first)  # all of a person's examples know the same films


def archive(people: int = 6, films: int = 130) -> tuple[bytes, dict[int, dict[int, int]]]:
    """Return an archive in the published format, and what is in it: person -> film -> stars."""
    chance, given = np.random.default_rng(0), {}
    lines = []
    for person in range(1, people + 1):
        count = 8 if person == people else 60
        rated = chance.choice(np.arange(1, films + 1), count, replace=False, p=_fame(films))
        given[person] = {int(film): int(chance.integers(1, 6)) for film in rated}
        lines += [f"{person}\t{film}\t{stars}\t88125{person:04}" for film, stars in given[person].items()]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("ml-100k/u.data", "\n".join(lines) + "\n")
    return stream.getvalue(), given


def _fame(films: int) -> np.ndarray:
    weight = 1 / np.arange(1, films + 1)
    return weight / weight.sum()


def test_movielens_is_fetched_checked_and_read_in_its_published_form(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, given = archive()
    serve("movielens", server, monkeypatch, {"ml-100k.zip": content})
    found = data.load_by_client("movielens", seed=0)
    assert found.names == tuple(f"Person {person}" for person in range(1, 6))  # the sixth rated eight films
    assert found.train.shape == (2, 100)
    assert_nobody_is_told_the_answer(found)
    counts = {film: sum(film in own for own in given.values()) for film in range(1, 131)}
    known = sorted(sorted(counts, key=lambda film: (-counts[film], film))[:100])
    for person, own, tests in zip(range(1, 6), found.clients, found.local_tests, strict=True):
        x = torch.cat([found.train.x[own], found.test.x[tests]])
        y = torch.cat([found.train.y[own], found.test.y[tests]])
        read = {known[int(film)]: int(label) for film, label in zip(x[:, 1].argmax(1), y, strict=True)}
        assert read == {film: int(stars >= 4) for film, stars in given[person].items() if film in known}


def test_another_archive_than_the_published_one_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, folder = server
    content, _ = archive()
    (folder / "ml-100k.zip").write_bytes(content)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COURSE_DATA_MIRROR", address)
    remote = download.BY_CLIENT["movielens"]
    monkeypatch.setitem(download.BY_CLIENT, "movielens", download.Remote((), remote.checksums, remote.embedded))
    with pytest.raises(
        download.DownloadError, match=r"ml-100k.zip is damaged or was changed(.|\n)*load_by_client\('ratings'\)"
    ):
        data.load_by_client("movielens")


def test_an_archive_without_its_table_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("ml-100k/u.data", "1\t2\t3\n")
    with pytest.raises(ValueError, match="3 columns"):
        ratings.movielens(tmp_path / "a.zip", 0, 0.2)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as made:
        made.writestr("readme", "nothing")
    with pytest.raises(ValueError, match=r"no ml-100k/u\.data"):
        ratings.movielens(tmp_path / "b.zip", 0, 0.2)


# --- road signs ---


def test_road_signs_are_colours_on_a_fixed_scale_and_nights_are_dark() -> None:
    found = road_signs.cars(0)
    light = {name: own.x.mean().item() for name, own in found.items()}
    assert all(own.x.min() >= -2 and own.x.max() <= 2 for own in found.values())
    nights = [level for name, level in light.items() if "night" in name]
    assert len(nights) == 3 and max(nights) < min(level for name, level in light.items() if "motorway" in name)
