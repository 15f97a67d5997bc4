"""The paper's tables on a dataset: settings, models, test protocols, comparisons."""
