"""The catalogue of sample data: names, licences, sources, and the checksums of what is downloaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        name: What to type.
        kind: "images", "table" or "series".
        shape: Size of the data, in words.
        embedded: Whether it is part of the package; else it is downloaded when first asked for.
        licence: Licence, in a few words.
        source: Where it comes from, with its citation.
        description: What it is, in one line.
        url: Folder that the files are downloaded from; None for embedded data.
        files: Files to download: role, file name and the SHA-256 of the (unpacked) content.
    """

    name: str
    kind: str
    shape: str
    embedded: bool
    licence: str
    source: str
    description: str
    url: str | None = None
    files: tuple[tuple[str, str, str], ...] = ()


_FASHION_SOURCE = "Xiao, Rasul, Vollgraf: Fashion-MNIST, 2017, https://github.com/zalandoresearch/fashion-mnist"
_ADULT_SOURCE = "Becker, Kohavi: Adult, UCI Machine Learning Repository, 1996, https://doi.org/10.24432/C5XW20"
ENTRIES = (
    Entry(
        "digits",
        "images",
        "1,797 × 8 × 8",
        True,
        "CC BY 4.0",
        "Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, "
        "https://doi.org/10.24432/C50P49; as distributed with scikit-learn",
        "handwritten digits, small, in shades from 0 to 16",
    ),
    Entry(
        "fashion",
        "images",
        "6,000 + 1,000 × 28 × 28",
        True,
        "MIT",
        _FASHION_SOURCE,
        "photographs of clothes in ten kinds, a part of Fashion-MNIST with equally many of each kind",
    ),
    Entry(
        "passengers",
        "series",
        "144 months",
        True,
        "public domain",
        "Box, Jenkins: Time Series Analysis: Forecasting and Control, 1976, series G",
        "passengers of international airlines in thousands, month by month from 1949 to 1960",
    ),
    Entry(
        "heartbeats",
        "series",
        "400 + 120 × 140",
        True,
        "as this package",
        "made by formula: see narrows.data.samples.heartbeats",
        "made-up heartbeats, 20 of the 120 that are held out with a fault",
    ),
    Entry(
        "banknote",
        "table",
        "1,372 × 5",
        True,
        "CC BY 4.0",
        "Lohweg: Banknote Authentication, UCI Machine Learning Repository, 2012, https://doi.org/10.24432/C55P57",
        "four numbers from photographs of genuine and forged banknotes, and which they are",
    ),
    Entry(
        "census",
        "table",
        "5,000 × 15",
        True,
        "CC BY 4.0",
        _ADULT_SOURCE,
        "people in the US census of 1994: numbers, categories and blanks, a random part of Adult",
    ),
    Entry(
        "mnist",
        "images",
        "60,000 + 10,000 × 28 × 28",
        False,
        "CC BY-SA 3.0",
        "LeCun, Cortes, Burges: The MNIST database of handwritten digits, 1998",
        "handwritten digits",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            (
                "images",
                "train-images-idx3-ubyte.gz",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            (
                "labels",
                "train-labels-idx1-ubyte.gz",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            ("test", "t10k-images-idx3-ubyte.gz", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            (
                "test-labels",
                "t10k-labels-idx1-ubyte.gz",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
    ),
    Entry(
        "fashion-mnist",
        "images",
        "60,000 + 10,000 × 28 × 28",
        False,
        "MIT",
        _FASHION_SOURCE,
        "photographs of clothes in ten kinds, all of them",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            (
                "images",
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            (
                "labels",
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            ("test", "t10k-images-idx3-ubyte.gz", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            (
                "test-labels",
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
    ),
    Entry(
        "adult",
        "table",
        "32,561 + 16,281 × 15",
        False,
        "CC BY 4.0",
        _ADULT_SOURCE,
        "people in the US census of 1994: numbers, categories and blanks, all of them",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/",
        (
            ("table", "adult.data", "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"),
            ("test", "adult.test", "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05"),
        ),
    ),
)
