"""Names from runs, safe to show anywhere."""

from karn_wandb.printable import printable


def test_names_cannot_control_a_terminal_or_reorder_text():
    assert printable("a\x1b[2Jb\n\u202ec\u200d\ud800") == "a\\x1b[2Jb\\n\\u202ec\\u200d\\ud800"
    assert printable("prüfung 学習 🌱 <b>") == "prüfung 学習 🌱 <b>"
