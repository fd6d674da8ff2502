"""Where things are: this checkout, the rows of the tests, and the real rows beside the checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "tests" / "rows"
REAL = ROOT.parent / "shared" / "real"
CASES = ROOT.parent / "shared" / "cases"
