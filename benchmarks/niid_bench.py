"""The published table that lesson 08 stands beside: NIID-Bench (Li et al. 2022, arXiv 2102.02079), as replicated in Flower.

Test accuracy in percent and its spread, as printed in github.com/adap/flower, baselines/niid_bench/README.md: the best round of
50, with 10 local epochs, CNNs and full data sets; by our name for the skew, then by theirs.
"""

PUBLISHED: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    "alpha = 100": {
        "MNIST, IID": {
            "FedAvg": (99.09, 0.05), "SCAFFOLD": (99.06, 0.15), "FedProx": (99.16, 0.04), "FedNova": (99.05, 0.06),
        },
        "CIFAR-10, IID": {
            "FedAvg": (71.32, 0.33), "SCAFFOLD": (71.66, 1.13), "FedProx": (71.26, 1.18), "FedNova": (70.69, 1.14),
        },
    },
    "alpha = 0.5": {
        "MNIST, Dirichlet (0.5)": {
            "FedAvg": (98.89, 0.07), "SCAFFOLD": (99.07, 0.06), "FedProx": (99.02, 0.02), "FedNova": (98.03, 0.06),
        },
        "CIFAR-10, Dirichlet (0.5)": {
            "FedAvg": (62.47, 0.43), "SCAFFOLD": (68.08, 0.96), "FedProx": (65.63, 0.08), "FedNova": (63.89, 1.40),
        },
    },
    "one digit each": {
        "MNIST, one label": {
            "FedAvg": (19.33, 11.82), "SCAFFOLD": (9.93, 0.12), "FedProx": (51.79, 26.75), "FedNova": (52.58, 14.08),
        },
        "CIFAR-10, one label": {
            "FedAvg": (10.00, 0.00), "SCAFFOLD": (10.00, 0.00), "FedProx": (12.71, 0.96), "FedNova": (10.00, 0.00),
        },
    },
}  # fmt: skip
