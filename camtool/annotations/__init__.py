"""Annotations: what is known to be true of images, from every common format.

`read_annotations` recognises the format; each format is a class of the union `AnnotationReader`, a
setting and the reader itself. `read_guesses` reads the predictions of other programs.
"""

from __future__ import annotations

from camtool.annotations.classes import IMAGENET, ClassTable, ImageNetClass, NetworkClasses
from camtool.annotations.coco import Coco
from camtool.annotations.csv_files import CsvBoxes, CsvLabels
from camtool.annotations.cub import Cub
from camtool.annotations.cvat import Cvat
from camtool.annotations.guesses import read_guesses
from camtool.annotations.kaggle import Kaggle
from camtool.annotations.reader import NO_CLASS, AnnotationSet, Reader
from camtool.annotations.reading import AnnotationReader, read_annotations, read_labels
from camtool.annotations.tiny_imagenet import TinyImageNet
from camtool.annotations.voc_xml import VocXml
from camtool.annotations.wsol_lists import WsolLists
from camtool.tables import image_stem

__all__ = [
    "AnnotationReader",
    "AnnotationSet",
    "ClassTable",
    "Coco",
    "CsvBoxes",
    "CsvLabels",
    "Cub",
    "Cvat",
    "IMAGENET",
    "ImageNetClass",
    "Kaggle",
    "NO_CLASS",
    "NetworkClasses",
    "Reader",
    "TinyImageNet",
    "VocXml",
    "WsolLists",
    "image_stem",
    "read_annotations",
    "read_guesses",
    "read_labels",
]
