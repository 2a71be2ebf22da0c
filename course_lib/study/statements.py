"""The statements on trial: what introductions to distributed (DML) and federated learning (FL) like to say.

They are numbered once for the whole course. Lessons refer to them by number, and end each with a verdict.
"""

STATEMENTS: dict[int, str] = {
    1: "DML: sharing the work among several machines makes training faster.",
    2: "DML: sharing the work among several machines costs no accuracy.",
    3: "DML: data that does not fit on one machine can be trained on.",
    4: "DML: a model that does not fit on one machine can be trained.",
    5: "DML: it takes expensive machines and an expensive network.",
    6: "DML: storing all data in one place means that one breach exposes everything.",
    7: "DML: keeping workers in step costs time, and letting them fall out of step costs accuracy.",
    8: "DML: averaging the workers' models now and then works as well as averaging at every step.",
    9: "FL: raw data never leaves the device.",
    10: "FL: because raw data stays on the device, the data is private.",
    11: "FL: the updates that are sent can be turned back into the data.",
    12: "FL: sending updates takes less bandwidth than sending the data.",
    13: "FL: it becomes as accurate as training on all data in one place.",
    14: "FL: it fits the model better to each person.",
    15: "FL: weak devices restrict it to small models.",
    16: "FL: unreliable connections harm it.",
    17: "FL: when each device's data is lopsided, so is the model.",
    18: "FL: a malicious client can steer the model that everyone shares.",
    19: "FL: updates can be added up so that the server sees the sum and no single update.",
    20: "FL: differential privacy costs accuracy.",
    21: "DML suits training at scale in one place; FL suits private data: fraud, hospitals, phones, recommendations.",
    22: "Mixtures of DML and FL balance privacy against efficiency.",
    23: "Smaller and faster models on devices make FL practical in real time.",
    24: "Training without any central server works.",
    25: "Deep models can be trained with FL.",
    26: "Scale, privacy, hardware and network decide which of the two to choose.",
}


def statement(number: int) -> str:
    """Return a statement's text. Raises ValueError for a number that is not on the list."""
    if number not in STATEMENTS:
        raise ValueError(f"there is no statement {number!r}: they are numbered 1 to {max(STATEMENTS)}")
    return STATEMENTS[number]
