"""The version of Defect Atlas, in this one place: app, command line, archive and CITATION.cff have it from here."""

VERSION = "0.2.0.dev0"
