"""What MkDocs calls: pages that are made from the code, and a navigation of the pages that are there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs import generated


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and fit the navigation to the pages that are there."""
    for path, text in generated.pages().items():
        files.append(File.generated(config, path, content=text))
    files.append(File.generated(config, "favicon.svg", abs_src_path=str(generated.FAVICON)))
    here = {file.src_uri for file in files.documentation_pages()}
    assert config.nav is not None
    config.nav = generated.fitted(config.nav, here)
    return files
