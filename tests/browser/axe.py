"""What axe-core says about a lesson's own content. The parts of JupyterLab around it are not ours to mend."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_OWN = ".jp-NotebookPanel:not(.lm-mod-hidden) :is(.jp-OutputArea-output, .jp-MarkdownOutput)"


def grave(page: Page) -> list[str]:
    """Return each serious or critical violation as its rule, where it is, and what is wrong."""
    response = Axe().run(page, context=_OWN, options={"resultTypes": ["violations"], "iframes": False}).response
    return [
        f"{found['id']}: {node['html'][:200]} ({'; '.join(check['message'] for check in (*node['any'], *node['all'], *node['none']))})"
        for found in response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
