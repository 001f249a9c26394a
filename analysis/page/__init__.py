"""A report as one self-contained HTML page: what studies found, to look at in a browser, without a network.

Python gathers numbers and names (`analysis.page.facts`); ``report.html``, ``report.css`` and two scripts beside this
file show them; plotly.js, as the plotly package brings it, draws.
"""

from analysis.page.document import page

__all__ = ["page"]
