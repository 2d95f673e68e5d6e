"""From numbers to the static site under `reports/`: templates say the sentences, figures stay files of their own."""
