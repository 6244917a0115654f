"""The interval of a share of rows, without any package: a report is made where little is installed.

Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical Association 22, 1927.
"""

import math

# Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959964


def of_share(share: float, rows: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share.

    Args:
        share: 0 to 1.
        rows: that it is a share of, above 0.
    """
    center = (share + Z95**2 / (2 * rows)) / (1 + Z95**2 / rows)
    half = Z95 / (1 + Z95**2 / rows) * math.sqrt(share * (1 - share) / rows + Z95**2 / (4 * rows**2))
    return max(0.0, center - half), min(1.0, center + half)
