"""The forms of the LLaVA family as its code writes them (LLaVA, ViP-LLaVA commit 77079b1, MGM commit 769820c).

`conversation.py` there has the same names without `llava_` and `mgm_`. Text between two images is one piece there, past
answers included.
"""

from __future__ import annotations

from dataclasses import replace

from minigpt4.common.registry import templates
from minigpt4.conversation.template import Template

HUMAN_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
USER_SYSTEM = HUMAN_SYSTEM.replace("human", "user")
VISION_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
TAGGED_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant is able to understand the "
    "visual content that the user provides, and assist the user with a variety of tasks using natural language."
    "The visual content will be provided with the following format: <Image>visual content</Image>."
)
LLAMA_2_SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information."
)

LLAVA_V0 = Template(
    name="llava_v0", begins_with_bos="tokenizer", system=HUMAN_SYSTEM, system_suffix="###", system_always=True,
    user_prefix="Human: ", user_suffix="###", assistant_prefix="Assistant:", answer_prefix=" ",
    assistant_open="Assistant:", answer_end="###", image_joint="\n", stops=("###",), empty_answer_is_open=True,
)
LLAVA_V1 = Template(
    name="llava_v1", begins_with_bos="tokenizer", system=HUMAN_SYSTEM, system_suffix=" ", system_always=True,
    user_prefix="USER: ", user_suffix=" ", assistant_prefix="ASSISTANT:", answer_prefix=" ",
    assistant_open="ASSISTANT:", answer_end="</s>", image_joint="\n", stops=("</s>",), empty_answer_is_open=True,
)
LLAVA_LLAMA_2 = Template(
    name="llava_llama_2", begins_with_bos="tokenizer", system=VISION_SYSTEM, system_prefix="<<SYS>>\n",
    system_suffix="\n<</SYS>>\n\n", system_in_first_turn=True, user_prefix="[INST] ", later_user_prefix="<s>[INST] ",
    user_suffix=" [/INST]", answer_prefix=" ", assistant_open="", answer_end=" </s>", image_joint="\n",
    stops=("</s>",), empty_answer_is_open=True,
)
LLAVA_MPT = Template(
    name="llava_mpt", begins_with_bos="tokenizer", system_prefix="<|im_start|>system\n",
    system="A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest "
    "answers.",
    system_suffix="<|im_end|>", user_prefix="<|im_start|>user\n", user_suffix="<|im_end|>",
    assistant_prefix="<|im_start|>assistant\n", answer_end="<|im_end|>", image_joint="\n", stops=("<|im_end|>",),
    empty_answer_is_open=True,
)
LLAVA_LLAMA_3 = Template(
    name="llava_llama_3", begins_with_bos="spelled", system=VISION_SYSTEM,
    system_prefix="<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n", system_suffix="<|eot_id|>",
    system_always=True, user_prefix="<|start_header_id|>user<|end_header_id|>\n\n", user_suffix="<|eot_id|>",
    assistant_prefix="<|start_header_id|>assistant<|end_header_id|>\n\n", answer_end="<|eot_id|>",
    ended_by=("<|eot_id|>",), image_joint="\n", stops=("<|eot_id|>",), empty_answer_is_open=True,
)
LLAVA_PHI_3 = Template(
    name="llava_phi_3", begins_with_bos="tokenizer", system=VISION_SYSTEM, system_prefix="<|system|>\n",
    system_suffix="<|end|>\n", user_prefix="<|user|>\n", user_suffix="<|end|>\n", assistant_prefix="<|assistant|>\n",
    answer_end="<|end|>\n", ended_by=("<|eot_id|>",), image_joint="\n", stops=("<|end|>",), empty_answer_is_open=True,
)
LLAVA_PLAIN = Template(
    name="llava_plain", begins_with_bos="tokenizer", ignores_questions=True, answer_end="\n", stops=("\n",),
)

FAMILY = (
    LLAVA_V0, LLAVA_V1, LLAVA_LLAMA_2, LLAVA_MPT, LLAVA_LLAMA_3, LLAVA_PHI_3, LLAVA_PLAIN,
    replace(LLAVA_PLAIN, name="llava_plain_chat", ignores_questions=False, user_suffix="\n", image_joint="\n",
            empty_answer_is_open=True),
    replace(LLAVA_V0, name="llava_v0_mmtag", system=TAGGED_SYSTEM, image_prefix="<Image>", image_suffix="</Image>",
            own_turn_per_image=True, image_received="Received."),
    replace(LLAVA_V1, name="llava_v1_mmtag", system=TAGGED_SYSTEM, image_prefix="<Image>", image_suffix="</Image>",
            own_turn_per_image=True, image_received="Received."),
    replace(LLAVA_V1, name="llava_vicuna_v1", system=USER_SYSTEM),
    replace(LLAVA_LLAMA_2, name="llava_llama_2_chat", system=LLAMA_2_SYSTEM),
    replace(LLAVA_LLAMA_2, name="llava_mistral_instruct", system="", later_user_prefix="[INST] "),
    replace(LLAVA_MPT, name="llava_chatml_direct", system="Answer the questions."),
    replace(LLAVA_LLAMA_2, name="mgm_mistral_instruct", system=""),
    replace(
        LLAVA_LLAMA_3, name="mgm_llama_3", begins_with_bos="tokenizer",
        system_prefix="<|start_header_id|>system<|end_header_id|>\n\n",
        assistant_prefix="<|start_header_id|>system<|end_header_id|>\n\n",
    ),
    Template(
        name="mgm_gemma", begins_with_bos="tokenizer", user_prefix="<start_of_turn>user\n",
        user_suffix="<end_of_turn>\n", assistant_prefix="<start_of_turn>model\n", answer_end="<end_of_turn>\n<eos>",
        image_joint="\n", stops=("<end_of_turn>", "<eos>"), empty_answer_is_open=True,
    ),
)

for template in FAMILY:
    templates.add(template.name, template)
