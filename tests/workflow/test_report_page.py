"""The report in the workflow: made behind the results that it shows, made again when one of them changes."""

import re

from checkout import HOME, Checkout, job_stats

INDEX = "results/report/index.html"


def alone(checkout: Checkout) -> tuple[str, ...]:
    """Configuration files of a run with one system and one model."""
    others = ("mm_neurons", "xl_vlms", "multimodal_sae", "llava_interp", "atlas")
    return checkout.overlays("; ".join(["run.mmneuron=[llava]", *(f"run.{name}=[]" for name in others)]))


def test_the_report_stands_behind_what_it_shows_and_is_made_again_for_it_alone(everything: Checkout) -> None:
    overlays = alone(everything)
    made = everything.run(INDEX, "--cores", "1", overlays=overlays)
    assert job_stats(made) == {"report_config": 1, "report_site": 1}
    page = everything.read(INDEX).decode()
    assert 'id="mmneuron-llava-effects"' in page and "as many random neurons" in page
    # Every link leads to a file that is there.
    folder = everything.folder / "results" / "report"
    links = set(re.findall(r'href="(\.\./[^"]+)"', page))
    assert {"../mmneuron/llava/effects.csv", "../mmneuron/llava/neurons.html"} <= links
    assert not [one for one in links if not (folder / one).exists()]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)

    assert job_stats(everything.run(INDEX, "-n", overlays=overlays)) == {}
    table = everything.folder / HOME / "effects.csv"
    text = table.read_text()
    try:
        table.write_text(text.replace("mean,own,5", "mean,own,6", 1))
        assert job_stats(everything.run(INDEX, "-n", overlays=overlays)) == {"report_site": 1}
    finally:
        table.write_text(text)
    with everything.edited("vlmscope/show/templates/report.css", "@media print", "@media  print"):
        assert job_stats(everything.run(INDEX, "-n", overlays=overlays)) == {"report_site": 1}


def test_a_run_of_everything_ends_with_its_own_page(everything: Checkout) -> None:
    asked = everything.run("everything", "-n", overlays=alone(everything))
    assert {name: count for name, count in job_stats(asked).items() if name == "report_site"} == {"report_site": 1}
    assert "results/report/everything.html" in asked.stdout + asked.stderr
