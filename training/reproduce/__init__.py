"""The paper's tables and figures from a file of MMSA, with one command and one report."""
