"""What the configuration says of captions under steering and of learned steering."""

from typing import get_args

import pytest
from configured import changed

from vlmscope import config
from vlmscope.errors import VlmscopeError
from vlmscope.metrics import captions, vqa_official
from vlmscope.settings.xl_vlms import vectors
from vlmscope.settings.xl_vlms.captions import Score


def test_the_scores_are_those_that_are_computed():
    assert get_args(Score) == captions.NAMES


def test_answer_types_are_those_of_the_benchmark():
    assert vectors.TYPES == vqa_official.TYPES
    assert get_args(vectors.AnswerType) == tuple(vqa_official.TYPES.values())


def test_every_vector_of_a_style_has_its_words():
    styles = config.default().xl_vlms.captions.styles
    kept = {name: words for name, words in styles.items() if name != "style-red"}
    with pytest.raises(VlmscopeError, match=r"captions\.styles must name .*style-red"):
        changed(xl_vlms__captions__styles=kept)
    with pytest.raises(VlmscopeError, match="style-blue"):
        changed(xl_vlms__captions__styles=styles | {"style-blue": ["blue"]})


def test_a_task_needs_a_dataset_of_its_kind_and_samples_to_train_on():
    task = config.plain(config.default())["xl_vlms"]["learned"]["tasks"]["pope"]
    with pytest.raises(VlmscopeError, match="must be of kind pope"):
        changed(xl_vlms__learned__tasks={"pope": task | {"dataset": "coco"}})
    with pytest.raises(VlmscopeError, match="leaves nothing to train on"):
        changed(xl_vlms__learned__tasks={"pope": task | {"validation": task["train"]}})
