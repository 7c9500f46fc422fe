"""The words around a prompt, against what the checkpoints publish.

`GOLDEN` is each family's rendering, character by character. `PUBLISHED` are our own short templates that write one turn
as the checkpoint's `chat_template` does; named beside each is where that was seen. Families without one there have
their words from released code or a model card: llava_llama2 and mplug_owl2 from the conversations in the authors'
code, molmo from its released processor, llava_phi from the card of xtuner/llava-phi-3-mini-hf.
"""

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vlmscope.models import base, internvl, qwen2_vl
from vlmscope.models.owl2 import processing

QUESTION = "What is shown in this image?"
PROMPT = "<image>\n" + QUESTION
SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
QWEN = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\n"
    f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
)
CURIOUS = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. "
)
GOLDEN = {
    "clip": f"<image>\n{QUESTION}",
    "gemma3": f"<start_of_turn>user\n<image>\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
    "idefics2": f"User:<image>\n{QUESTION}<end_of_utterance>\nAssistant:",
    "idefics3": f"<|im_start|>User:<image>\n{QUESTION}<end_of_utterance>\nAssistant:",
    "instructblip": f"<image>\n{QUESTION}",
    "internvl": f"<|im_start|>user\n<image>\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
    "llava": f"USER: <image>\n{QUESTION} ASSISTANT:",
    "llava_llama2": f"[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n<image>\n{QUESTION} [/INST]",
    "llava_next": f"{CURIOUS}USER: <image>\n{QUESTION} ASSISTANT:",
    "llava_next_llama3": f"<|start_header_id|>user<|end_header_id|>\n\n<image>\n{QUESTION}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llava_onevision": f"<|im_start|>user <image>\n{QUESTION}<|im_end|><|im_start|>assistant\n",
    "llava_phi": f"<|user|>\n<image>\n{QUESTION}<|end|>\n<|assistant|>\n",
    "molmo": f" User: <image>\n{QUESTION} Assistant:",
    "mplug_owl2": f"USER: <image>\n{QUESTION} ASSISTANT:",
    "qwen2_5_vl": QWEN,
    "qwen2_vl": QWEN,
}

# Pictures come first where `pictures` stands, then `words`.
CHATML = (
    "{% for turn in turns %}<|im_start|>{{ turn.role }}\n{{ turn.pictures }}{{ turn.words }}<|im_end|>\n{% endfor %}"
)
SPOKEN = (
    "{% for turn in turns %}{{ turn.role | capitalize }}:{{ turn.pictures }}{{ turn.words }}<end_of_utterance>\n"
    "{% endfor %}"
)
PUBLISHED = {
    # chat_template.json of llava-hf/llava-1.5-7b-hf; that of llava-v1.6-vicuna-7b-hf is the same, without system text.
    "llava": "{% for turn in turns %}{{ turn.role | upper }}: {{ turn.pictures }}\n{{ turn.words }} {% endfor %}"
    "ASSISTANT:",
    # chat_template.json of llava-hf/llama3-llava-next-8b-hf; the tokenizer adds the beginning token.
    "llava_next_llama3": "{% for turn in turns %}<|start_header_id|>{{ turn.role }}<|end_header_id|>\n\n"
    "{{ turn.pictures }}\n{{ turn.words }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n",
    # chat_template.json of llava-hf/llava-onevision-qwen2-*-ov-hf since August 2024, as transformers tests it.
    "llava_onevision": "{% for turn in turns %}<|im_start|>{{ turn.role }} {{ turn.pictures }}\n{{ turn.words }}"
    "<|im_end|>{% endfor %}<|im_start|>assistant\n",
    # chat_template.json of Qwen/Qwen2-VL-7B-Instruct and Qwen/Qwen2.5-VL-7B-Instruct.
    "qwen2_vl": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + CHATML + "<|im_start|>assistant\n",
    "qwen2_5_vl": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + CHATML + "<|im_start|>assistant\n",
    # processor_config.json of HuggingFaceM4/idefics2-8b.
    "idefics2": SPOKEN + "Assistant:",
    # chat_template.json of HuggingFaceTB/SmolVLM-Instruct.
    "idefics3": "<|im_start|>" + SPOKEN + "Assistant:",
    # chat_template of OpenGVLab/InternVL3-*-hf, a line behind every picture.
    "internvl": CHATML.replace("pictures }}", "pictures }}\n") + "<|im_start|>assistant\n",
    # chat_template.json of google/gemma-3-*-it, whose beginning token the tokenizer adds.
    "gemma3": "{% for turn in turns %}<start_of_turn>{{ turn.role }}\n{{ turn.pictures }}{{ turn.words }}"
    "<end_of_turn>\n{% endfor %}<start_of_turn>model\n",
}
MARKS = {
    "qwen2_vl": qwen2_vl.MARK,
    "qwen2_5_vl": qwen2_vl.MARK,
    "internvl": internvl.MARK,
    "gemma3": "<start_of_image>",
}
# A line between picture and words is the template's in these families, and the prompt's own in the others.
OWN_LINE = {"llava", "llava_next_llama3", "llava_onevision", "internvl"}


@pytest.mark.parametrize("name", base.names())
def test_a_prompt_stands_in_its_template_as_written_here(name):
    assert base.family(name).template.format(prompt=PROMPT) == GOLDEN[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_template_writes_what_the_checkpoint_s_own_does(name):
    mark = MARKS.get(name, "<image>")
    jinja = ImmutableSandboxedEnvironment(keep_trailing_newline=True).from_string(PUBLISHED[name])
    wanted = jinja.render(turns=[{"role": "user", "pictures": mark, "words": QUESTION}])
    prompt = PROMPT if name in OWN_LINE else "<image>" + QUESTION
    assert base.family(name).template.format(prompt=prompt).replace("<image>", mark) == wanted
    assert base.family(name).turn(QUESTION).replace("<image>", mark) == wanted


def test_llava_next_adds_the_system_text_of_the_released_code_to_the_published_turn():
    assert CURIOUS + base.family("llava").template == base.family("llava_next").template


@pytest.mark.parametrize("name", base.names())
def test_a_template_holds_the_prompt_once_and_no_other_brace(name):
    template = base.family(name).template
    assert template.count("{prompt}") == 1 and template.count("{") == template.count("}") == 1


# Text behind the picture as the released code of MM_Neurons has it with add_prompt (mm_neurons.md 2.2).
BEGUN = {
    "llava_llama2": "\nDescribe the image in few words. [/INST]An image of",
    "instructblip": "Describe the image in few words. An image of",
    # Its processor takes the line end away, see below.
    "mplug_owl2": "\nDescribe the image in few words. ASSISTANT: An image of",
    "llava_next_llama3": "\nDescribe the image in few words.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    "An image of",
}


@pytest.mark.parametrize("name", BEGUN)
def test_an_answer_is_begun_as_the_released_code_begins_it(name):
    asked = base.family(name).chat("<image>\nDescribe the image in few words.", "An image of")
    assert asked.partition("<image>")[2] == BEGUN[name]


@pytest.mark.parametrize("name", base.names())
def test_without_such_words_nothing_stands_behind_the_template(name):
    family = base.family(name)
    assert family.chat("<image>\nwhat?") == family.template.replace("{prompt}", family.worded("<image>\nwhat?"))


def test_no_line_end_stands_between_picture_and_words_of_mplug_owl2():
    def words(chunk):
        return {"input_ids": [1, *(ord(letter) for letter in chunk)]}

    words.bos_token_id = 1
    processor = processing.OwlProcessor(words, None, image_token=-200, image_tokens=2)
    asked = base.family("mplug_owl2").chat("<image>\nDescribe it.", "An image of")
    ids = processor.encode(asked)
    assert ids[:9] == [1, *map(ord, "USER: "), -200, -200]
    assert "".join(map(chr, ids[9:])) == "Describe it. ASSISTANT: An image of"


# The texts of the released XL-VLMs code, before the picture is expanded (xl_vlms.md 2.1); the processor of Molmo takes
# the mark out and puts the picture behind the beginning token.
CAPTION = "\nProvide a one-sentence caption for the provided image."
TURNS = {
    "llava": f"USER: <image>\n{CAPTION} ASSISTANT:",
    "idefics2": f"User:<image>{CAPTION}<end_of_utterance>\nAssistant:",
    "qwen2_vl": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>"
    f"{CAPTION}<|im_end|>\n<|im_start|>assistant\n",
    "molmo": f" User: <image>{CAPTION} Assistant:",
}


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_that_of_the_released_xl_vlms_code(name):
    assert base.family(name).turn(CAPTION) == TURNS[name]
