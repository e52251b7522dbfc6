"""Generated pages say what the code says."""

from docs.make_keys import PAGE
from karn_wandb.schema.describe import keys_page


def test_the_page_of_keys_is_generated_from_the_table():
    assert PAGE.read_text() == keys_page()
