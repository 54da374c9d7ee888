"""Draw figures with kaleido and Chromium; runs in a process of its own, which `renderer` starts and may end.

    python -m app.report.drawing JOBS FOLDER CHROMIUM

JOBS is a JSON file with a list of jobs, each with a figure (Plotly's JSON), a format (svg, pdf or png) and a scale.
Job k is written to FOLDER/k, and a line with k is printed after it.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import kaleido

_SCRIPT = Path(__file__).with_name("deterministic.js")


async def draw(jobs: list[dict[str, Any]], folder: Path, chromium: str, seconds: float = 60.0) -> None:
    """Draw all jobs in one browser, one after the other, and write each when it is done.

    Args:
        jobs: `figure`, `format` and `scale` each.
        folder: Where to write.
        chromium: Path of the browser.
        seconds: Limit for one job.
    """
    page = kaleido.PageGenerator(mathjax=False, others=[str(_SCRIPT)])  # MathJax would come from the network
    async with kaleido.Kaleido(n=1, timeout=seconds, page_generator=page, path=chromium) as browser:
        for number, job in enumerate(jobs):
            layout = job["figure"]["layout"]
            options: Any = {
                "format": job["format"], "width": layout["width"], "height": layout["height"], "scale": job["scale"],
            }  # fmt: skip
            content = await browser.calc_fig(job["figure"], opts=options)
            (folder / str(number)).write_bytes(content)
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]), sys.argv[3]))
