"""The deployed template, from the send queue to the table, with IAM enforced."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.alarms")
