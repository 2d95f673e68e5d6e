"""From numbers to the static site under `reports/`: templates say the sentences, figures stay files of their own."""

from gradsurgery.core.extras import need

need("report", "jinja2", "matplotlib", "pandas", "seaborn")
