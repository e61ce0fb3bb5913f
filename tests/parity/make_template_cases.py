#!/usr/bin/env python3
"""Remakes template_cases.json: chat templates rendered by Python's Jinja2 as transformers sets it up.

    pip install transformers jinja2 && tests/parity/make_template_cases.py

Each case has a template (of a family: templates/NAME.jinja), messages and variables (or a conversation's name) and what
transformers renders, or `"error": true` with the words of
raise_exception where the template raised. src/text/chat_template_test.cpp compares our rendering with it.
"""

import json
import pathlib

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

FOLDER = pathlib.Path(__file__).parent

# ---- templates in the manner of the popular families ----

CHATML = """{%- for message in messages %}
    {%- if loop.first and message.role != 'system' %}
        {{- '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

TOOLS_XML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nSignatures:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

HEADERS = """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

INST = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

TURNS = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{'<start_of_turn>model\\n'}}{%- endif -%}
"""

THINKER = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}
{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}
{{bos_token}}{{ns.system_prompt}}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}
        {%- set ns.is_tool = false -%}
        {{'<|User|>' + message['content']}}
    {%- endif %}
    {%- if message['role'] == 'assistant' and message['content'] is none %}
        {%- set ns.is_tool = false -%}
        {%- for tool in message['tool_calls']%}
            {%- if not ns.is_first %}
                {{'<|Assistant|><|calls|><|call|>' + tool['type'] + '<|sep|>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|string + '\\n' + '```' + '<|/call|>'}}
                {%- set ns.is_first = true -%}
            {%- else %}
                {{'\\n' + '<|call|>' + tool['type'] + '<|/call|>'}}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {%- if message['role'] == 'assistant' and message['content'] is not none %}
        {%- set content = message['content'] %}
        {%- if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
        {{'<|Assistant|>' + content + '<|end|>'}}
    {%- endif %}
    {%- if message['role'] == 'tool' %}
        {%- set ns.is_tool = true -%}
        {{'<|out|>' + message['content'] + '<|/out|>'}}
    {%- endif %}
{%- endfor -%}
{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|><think>\\n'}}{% endif %}"""

TYPESCRIPT = """{%- macro render_type(param, required_here) -%}
    {%- if param.type == "array" -%}
        {%- if param['items'] -%}
            {{- render_type(param['items'], true) + "[]" }}
        {%- else -%}
            {{- "any[]" }}
        {%- endif -%}
    {%- elif param.type is defined and param.type is iterable and param.type is not string and param.type is not mapping -%}
        {{- param.type | join(" | ") }}
    {%- elif param.enum -%}
        {{- '"' + param.enum|join('" | "') + '"' }}
    {%- elif param.type == "object" and param.properties -%}
        {{- "{\\n" }}
        {%- for name, item in param.properties.items() -%}
            {{- name -}}{%- if name not in (param.required or []) -%}{{- "?" -}}{%- endif -%}
            {{- ": " -}}{{ render_type(item, name in (param.required or [])) }}
            {%- if not loop.last -%}{{- ", " }}{%- endif -%}
        {%- endfor -%}
        {{- "}" }}
    {%- elif param.type in ["integer", "number"] -%}
        number
    {%- else -%}
        {{- param.type or "any" }}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}
{%- set f = tool.function %}
// {{ f.description }}
type {{ f.name }} = (_: {{ render_type(f.parameters, false) }}) => any;
{% endfor %}
{%- for message in messages %}
<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>
{%- endfor %}
{% if add_generation_prompt %}<|start|>assistant{% endif %}"""

FAMILIES = {
    "chatml": CHATML,
    "tools_xml": TOOLS_XML,
    "headers": HEADERS,
    "inst": INST,
    "turns": TURNS,
    "thinker": THINKER,
    "typescript": TYPESCRIPT,
}

# ---- conversations ----

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current weather for a city & its <area>; costs 1 €.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "City, e.g. \"Zürich\""},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                    "days": {"type": "integer", "minimum": 1, "default": 3},
                    "weights": {"type": "array", "items": {"type": "number"}},
                    "items": {"type": ["string", "null"], "default": None},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}},
    },
]

PLAIN = [{"role": "user", "content": "Hi there"}]
SYSTEM = [
    {"role": "system", "content": "  You are <b>terse</b> & kind.\n"},
    {"role": "user", "content": "Was heißt „Glück“?\n\n"},
    {"role": "assistant", "content": "Luck — 幸運 🍀"},
    {"role": "user", "content": "Thanks  \n"},
]
CALLS = [
    {"role": "user", "content": "Weather in Zürich?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "abc123def",
                "type": "function",
                "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2, "ratio": 0.5, "on": True, "x": None}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "abc123def", "name": "get_weather", "content": "{\"temp\": 21.5}"},
    {"role": "assistant", "content": "<think>\nIt is warm.\n</think>\n\n21.5 °C"},
    {"role": "user", "content": "And tomorrow?"},
]
NONE_CONTENT = [
    {"role": "user", "content": "Go"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "ping", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "ping", "arguments": {"deep": {"list": [1, [2.0, "it's"], {}]}}}},
        ],
    },
]
PARTS = [
    {"role": "system", "content": [{"type": "text", "text": "Look closely."}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]},
]
REASONED = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4", "reasoning": "simple sum"},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Yes", "reasoning_content": "still simple"},
]
BAD_ORDER = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]

CONVERSATIONS = {
    "plain": (PLAIN, {}),
    "system": (SYSTEM, {}),
    "no_prompt": (SYSTEM, {"add_generation_prompt": False}),
    "calls": (CALLS, {"tools": TOOLS}),
    "calls_outside": (CALLS, {"tools": TOOLS, "tools_in_user_message": False}),
    "none_content": (NONE_CONTENT, {}),
    "parts": (PARTS, {}),
    "reasoned": (REASONED, {}),
    "no_thinking": (PLAIN, {"enable_thinking": False}),
    "bad_order": (BAD_ORDER, {}),
    "unicode": ([{"role": "user", "content": "naïve 𝄞 \u200b你好 <|im_end|> \"q\" \\n"}], {}),
    "empty": ([{"role": "system", "content": ""}, {"role": "user", "content": ""}], {}),
    "effort": (REASONED, {"reasoning_effort": "high", "enable_thinking": True, "thinking": True}),
}

# Of whole families, in templates/NAME.jinja: written from how their published ones behave.
FILES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((FOLDER / "templates").glob("*.jinja"))}

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

# ---- one feature each ----

DATA = {
    "d": {"b": 1, "a": "x", "items": [1, 2], "n": None, "f": 1.5, "t": True, "nested": {"k": ["v", {"z": 0}]}},
    "words": ["pear", "Apple", "fig", "apple"],
    "numbers": [3, 1.5, -2, 10],
    "text": "  The quick\tbrown fox\n jumps ",
    "quotes": "it's \"quoted\" \\ back\n\ttab é 中 🍀 \u200b\u00a0\u0007",
    "people": [
        {"name": "Ann", "age": 30, "city": "Rome"},
        {"name": "Bob", "age": 25, "city": "Oslo"},
        {"name": "Cid", "age": 30, "city": "Rome"},
    ],
    "empty": "",
    "html": "<a href=\"x\">&'</a>",
    "big": 12345678901234567890,
    "floats": [0.1, 1e16, 1.5e300, 1e-5, 0.0001, 123456789.125, -0.0, 100.0, 1e15, 3.0e-7],
}

SNIPPETS = r"""
{{ 1 }} {{ 1.0 }} {{ true }} {{ none }} {{ undefined_thing }} {{ True }} {{ None }}
{{ [1, 'a', "it's", None, true, 1.5, (1,), (1, 2), {'k': [1]}] }}
{{ d }}
{{ quotes }} {{ [quotes] }}
{{ floats }} {% for f in floats %}{{ f }} {% endfor %}
{{ floats|tojson }}
{{ big }} {{ big|tojson }} {{ [big] }}
{{ d|tojson }}
{{ d|tojson(indent=2) }}
{{ d|tojson(separators=(',', ':')) }}
{{ d|tojson(sort_keys=true, indent=1) }}
{{ quotes|tojson }} {{ quotes|tojson(ensure_ascii=true) }} {{ html|tojson }}
{{ d|tojson(4) }} {{ quotes|tojson(true) }} {{ quotes|tojson(ensure_ascii=False) }}
{{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ (1, 2)|tojson }} {{ {1: 2, none: 3, true: 4}|tojson }}
{{ d|tojson(indent='--') }}
{{ undefined_thing|tojson }}
{{ 'x'|tojson|length }} {{ 'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1] ~ undefined_thing }}
{{ html }} {{ html|e }} {{ html|safe }} {{ html|escape|length }} {{ html|forceescape }}
{{ d.b }} {{ d['b'] }} {{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 'dflt') }} {{ d['zz'] }} {{ d.zz }}
{{ d.zz.yy }}
{{ undefined_thing.x }}
{{ undefined_thing['x'] }}
{{ undefined_thing + 'x' }}
{{ undefined_thing == none }} {{ undefined_thing is defined }} {{ undefined_thing is none }} {{ not undefined_thing }}
{% for x in undefined_thing %}x{% else %}none{% endfor %} {{ undefined_thing|length }} {{ undefined_thing|list }}
{{ 'a' in undefined_thing }}
{{ undefined_thing|default('d') }} {{ ''|default('d') }} {{ ''|default('d', true) }} {{ none|d('x') }} {{ none|d('x', boolean=true) }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }},{% endfor %} {% for k in d.keys() %}{{ k }},{% endfor %} {% for v in d.values() %}{{ v }},{% endfor %}
{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %} {% for k, v in d|dictsort %}{{ k }},{% endfor %}
{{ d.items()|list }} {{ d.keys()|list }} {{ d|list }} {{ d|length }} {{ d.copy() == d }} {{ d.copy().b }}
{{ 'b' in d }} {{ 'zz' in d }} {{ 'zz' not in d }} {{ 'pe' in 'pear' }} {{ 1 in [1, 2] }} {{ 3 in (1, 2) }}
{% set x = d.update({'q': 1}) %}
{% set x = words.append('q') %}
{{ words|join(', ') }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ words|sort(reverse=true) }} {{ words|unique|list }}
{{ words|first }} {{ words|last }} {{ words|length }} {{ words[0] }} {{ words[-1] }} {{ words[1:3] }} {{ words[::-1] }} {{ words[:-1] }}
{{ words|map('upper')|join(' ') }} {{ words|map('length')|list }} {{ words|select('equalto', 'fig')|list }} {{ words|reject('in', ['fig'])|list }}
{{ people|map(attribute='name')|join(',') }} {{ people|selectattr('age', 'gt', 26)|map(attribute='name')|list }} {{ people|rejectattr('city', 'equalto', 'Rome')|list }}
{{ people|sort(attribute='age')|map(attribute='name')|list }} {{ people|sum(attribute='age') }} {{ people|groupby('city')|list|length }}
{% for city, group in people|groupby('city') %}{{ city }}:{% for p in group %}{{ p.name }},{% endfor %} {% endfor %}
{{ people|map(attribute='zz', default='-')|join(',') }} {{ people|selectattr('city')|list|length }}
{{ numbers|max }} {{ numbers|min }} {{ numbers|sum }} {{ numbers|sort }} {{ numbers|list|reverse|list }} {{ (-3)|abs }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 % 2 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 1 + 1.0 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ [1] + [2] }} {{ 2 ** -1 }}
{{ 1 if true }} {{ 1 if false }} {{ 1 if false else 2 }} {{ (1, 2) }} {{ (1,) }} {{ () }} {{ [] }} {{ {} }}
{{ 1 < 2 < 3 }} {{ 1 < 2 and 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 1 != 2 }} {{ not 1 }} {{ true and 'x' }} {{ false or 'y' }} {{ none or [] or 'z' }}
{{ 3.7|int }} {{ '42'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ '3.5'|float }} {{ 3|float }} {{ 3.14159|round(2) }} {{ 2.5|round }} {{ 2.7|round(method='floor') }} {{ 42|string }} {{ 1.0|string }} {{ [1.0]|string }} {{ none|string }} {{ true|string + 'x' }}
{{ text|trim }}| {{ text.strip() }}| {{ text.lstrip() }}| {{ text.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'abcab'.lstrip('ab') }} {{ 'abcab'.rstrip('ab') }}
{{ text.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(maxsplit=1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b  c'.rsplit(none, 1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a1b1c'.rsplit('1') }}
{{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.rpartition('-') }}
{{ 'hello world'.title() }} {{ "they're bill's".title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'Hi'.upper() }} {{ 'Hi'.lower() }} {{ 'Hi'.swapcase() }} {{ 'Straße'.casefold() }} {{ 'straße'.upper() }}
{{ 'hello'|title }} {{ 'hELLO w'|capitalize }} {{ 'Hi'|upper }} {{ 'Hi'|lower }} {{ "it's a-b_c d"|title }}
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('c') }} {{ 'abc'.endswith(('x', 'bc')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.startswith('') }}
{{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'hello'.find('z') }} {{ 'hello'.index('e') }} {{ 'hello'.count('l') }} {{ 'hello'.find('l', 3) }} {{ 'ééb'.find('b') }} {{ 'hello'.count('') }} {{ 'hello'.rindex('l') }} {{ 'hello'.find('l', 1, -2) }}
{{ 'hello'.index('z') }}
{{ 'a-b-c'.replace('-', '+') }} {{ 'a-b-c'.replace('-', '+', 1) }} {{ 'abc'.replace('', '.') }} {{ 'a-b'|replace('-', '') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 'abc'.replace('b', '') }}
{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'abc'.removeprefix('x') }} {{ 'abc'.removesuffix('') }}
{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ '+7'.zfill(4) }} {{ 'abc'.zfill(2) }} {{ 'ab'.center(7, '*') }} {{ 'abc'.center(8) }}| {{ 'abc'.center(7) }}| {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '.') }} {{ 'ab'|center(6) }}|
{{ 'a\tb'.expandtabs(4) }} {{ 'abc'.encode() }} {{ 'é'.encode('utf-8') }} {{ 'é'.encode()|length }} {{ 'ab'.encode().decode() }} {{ "it's".encode() }}
{{ ', '.join(['a', 'b']) }} {{ ''.join(words) }} {{ '-'.join('abc') }} {{ ','.join([]) }}
{{ ', '.join([1, 2]) }}
{{ [1, 2]|join(', ') }} {{ [1, none, true]|join('-') }} {{ 'abc'|join('-') }}
{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ '½'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ ' \t'.isspace() }} {{ ''.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ 'Ab Cd'.istitle() }} {{ 'a_1'.isidentifier() }} {{ 'é'.isascii() }} {{ 'a\n'.isprintable() }}
{{ '{} is {}'.format('a', 1) }} {{ '{0}-{1}-{0}'.format('a', 'b') }} {{ '{x:>5}|{y:<4}|'.format(x='r', y='l') }} {{ '{:.2f}'.format(3.14159) }} {{ '{:05d}'.format(42) }} {{ '{{}}'.format() }} {{ '{:,}'.format(1234567) }}
{{ '%s' % 'x' }} {{ '%s and %s' % ('a', 1) }} {{ '%d%%' % 50 }} {{ '%.2f' % 2.5 }} {{ '%5s|%-5s|' % ('a', 'b') }} {{ '%s' % [1, 'a'] }} {{ '%(k)s' % {'k': 'v'} }} {{ '%05d' % 42 }} {{ '%x' % 255 }}
{{ '%s' % none }} {{ '%s' % true }} {{ '%s' % 1.0 }} {{ '%s' % d }} {{ 'a' ~ '%s' % 'b' ~ 'c' }} {{ ('%s-%s' % ('a', 'b')).upper() }} {{ '%s %s'|format('a', 'b') }} {{ '%r' % 'a' }}
{% set fmt = '%s!' %}{{ fmt % 'var' }} {{ 10 % 4 * 2 }} {{ 2 * 7 % 4 }} {{ 10 - 7 % 4 }} {{ (loop_undefined is defined) != (3 % 2 == 1) }}
{{ '%s %s' % ('only one',) }}
{{ 1 % 0 }}
{{ 'a' 'b' "c" }} {{ 'x' ~ 'a' 'b' }} {{ ['a' 'b', 'c'] }}
{{ words.index('fig') }} {{ words.count('fig') }} {{ (1, 2, 1).count(1) }} {{ (1, 2, 1).index(2) }} {{ words.copy() }}
{{ words.index('zz') }}
{{ 'the quick brown fox jumps'|truncate(12) }} {{ 'the quick brown fox jumps'|truncate(12, true) }} {{ 'the quick brown fox jumps'|truncate(12, false, '…') }} {{ 'short'|truncate(12) }} {{ 'the quick brow'|truncate(12, leeway=0) }}
{{ 'The quick, brown-fox it\'s'|wordcount }} {{ ''|wordcount }} {{ 'a\nb'|wordcount }}
<p{{ {'class': 'a b', 'id': none, 'data': 1, 'q': '"<'}|xmlattr }}> {{ {'a': 1}|xmlattr(false) }} {{ {}|xmlattr }}
{{ 'a b/c?é'|urlencode }} {{ {'a': 1, 'b c': 'd&e'}|urlencode }}
{{ 'abc' is string }} {{ 'abc' is sequence }} {{ [1] is sequence }} {{ {} is sequence }} {{ 'abc' is iterable }} {{ 1 is iterable }} {{ {} is mapping }} {{ [] is mapping }} {{ 1 is number }} {{ true is number }} {{ 1.0 is float }} {{ 1 is integer }} {{ true is integer }} {{ true is boolean }} {{ none is none }} {{ 1 is sequence }}
{{ raise_exception is callable }} {{ 'x' is callable }} {{ range is callable }} {{ d is callable }} {{ words is callable }} {{ none is callable }}
{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 'a' is in ['a'] }} {{ 'A' is upper }} {{ 'a' is lower }} {{ 1 is eq 1 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is ge 2 }} {{ none is sameas none }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 1 is not none }} {{ 'upper' is filter }} {{ 'zz' is filter }}
{% macro m(a, b='dflt', c=none) %}[{{ a }}|{{ b }}|{{ c }}]{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(b=2, a='x') }} {{ m() }} {{ m is callable }}
{% macro outer(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) outer(5) %}inner {{ y }}{% endcall %}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1)|int) }}{% endif %}{% endmacro %}{{ fact(5) }}
{% set ns = namespace(a=1, b=[]) %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% set ns.b = ns.b + [i] %}{% endfor %}{{ ns.a }} {{ ns.b }} {{ ns.zz is defined }}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }} {% if true %}{% set x = 3 %}{% endif %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set block %}  captured {{ a }} {% endset %}[{{ block }}] {% set up | upper %}shout{% endset %}{{ up }}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.changed(i // 2) }}{{ loop.depth }} {% endfor %}
{% for i in range(6) if i % 2 == 0 %}{{ i }}:{{ loop.index }}/{{ loop.length }} {% else %}empty{% endfor %}
{% for item in [1, [2, [3]]] recursive %}{% if item is iterable %}({{ loop(item) }}){% else %}{{ item }}{% endif %}{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for i in 'abc' %}{{ i }}-{% endfor %}
{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{% set _ = c.reset() %}{{ c.current }}
{% set j = joiner('; ') %}{% for i in range(3) %}{{ j() }}{{ i }}{% endfor %}
{{ range(3)|list }} {{ range(1, 10, 3)|list }} {{ range(3, 0, -1)|list }} {{ dict(a=1, b='x') }} {{ dict({'k': 1}, z=2) }}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }} {% filter upper %}shout {{ 1 }}{% endfilter %}
{% raw %}{{ not rendered }} {% if %}{% endraw %} {# comment #}after {#- trimmed -#} x
{% generation %}said {{ 1 }}{% endgeneration %} {%- generation -%}  trimmed {%- endgeneration -%} end
{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}
{% if false %}a{% elif 1 == 1 %}b{% else %}c{% endif %}
{{ "a\tb\nc\\d\"e'\x41\u00e9" }} {{ 'single "double"' }} {{ "\/" }}
{{ words|batch(3)|list }} {{ words|batch(3, '-')|list }} {{ words|slice(2)|list }}
{{ 'a\nb'|indent(2) }} {{ 'a\nb'|indent(2, true) }} {{ 'a\n\nb'|indent(2, blank=true) }} {{ 'a\nb'|indent('> ') }}
{{ raise_exception('custom words: ' ~ 42) }}
{{ nofilter|nosuchfilter }}
{{ 'x' is nosuchtest }}
{{ nosuchfunction() }}
{{ 'x'.nosuchmethod() }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ 'a' + none }}
{{ none.x }}
{{ none['x'] is defined }}
{{ [1, 2][5] }} {{ [1, 2][5] is defined }} {{ 'abc'[1] }} {{ 'abc'[-1] }} {{ 'abc'[5] }} {{ 'héllo'[1:3] }} {{ 'abc'[::-1] }}
{% if unclosed %}
{{ unclosed
{% endfor %}
{% unknown_tag %}
{{ 1 + }}
{% for x in 5 %}{% endfor %}
{{ 5|length }}
{% include 'other' %}
{{ messages[0].content }} {{ messages|length }} {{ messages[0].role }} {{ tools is none }} {{ documents is none }} {{ tools is defined }} {{ add_generation_prompt }} {{ bos_token }}{{ eos_token }} {{ pad_token is defined }}
{{ messages }}
{{ d.nested.k[1].z }} {{ d['nested']['k'][0] }} {{ (d.nested.k|last).z }} {{ d.nested|tojson|length }}
{{ d == {'b': 1} }} {{ [1, 2] == [1, 2] }} {{ (1, 2) == [1, 2] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ 1 == true }} {{ '1' == 1 }}
{{ 'a' if d.zz is not defined else 'b' }} {{ d.n is none }} {{ d.n is defined }} {{ d.t is true }} {{ d.t is sameas true }}
{{ -5 }} {{ +5 }} {{ - 5 + 3 }} {{ 1_000 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1e100 }} {{ 10 ** 20 }}
{{ [3, 1, 2]|sort|first }} {{ [1, 2, 3]|sum }} {{ 'abc'|first }} {{ 'abc'|last }} {{ []|first }} {{ 'cba'|sort }} {{ 'abc'|reverse }} {{ 'aab'|unique|list }} {{ 'abc'|list }}
{{ people|map(attribute='age')|unique|list }} {{ people|selectattr('name', 'in', ['Bob'])|first }}
{{ {'a': 1}|items|list }} {{ {'b': 1, 'a': 2}|dictsort }} {{ {'b': 1, 'a': 2}|dictsort(by='value') }} {{ {'b': 1, 'a': 2}|dictsort(reverse=true) }}
{{ 5|string|length }} {{ 123|string|list }} {{ 'abc'|string }} {{ ('a' ~ 'b')|upper ~ 'c' }} {{ 2 * (3 + 4) }} {{ not true or true }} {{ 'x' * 0 }}|
{{ text.split()|map('capitalize')|join(' ') }} {{ text|trim|replace('quick', 'slow')|upper }}
{{ "%s" | format(d.f) }} {{ d.f }} {{ d.f|int }} {{ 5.0 }} {{ 5.0|int }} {{ 1/3 }} {{ 2/3 }} {{ 1e-7 }} {{ 100000000000000000.0 }}
{% set d2 = dict(d, extra=1) %}{{ d2.extra }} {{ d2|length }} {% set m2 = {'x': 1, 'y': {'z': 2}} %}{{ m2.y.z }} {{ m2['x'] }}
{{ {'role': 'user'}.role }} {{ [{'a': 1}][0].a }} {{ ('a', 'b')[1] }} {{ {'a': 'b'}['a'] }} {{ 'k' in {'k': none} }}
{{ words|tojson|safe }} {{ range is defined }} {{ loop is defined }}
{{ '' if undefined_thing else 'e' }}{{ undefined_thing ~ 'x' }}{{ undefined_thing|upper }}{{ undefined_thing|trim }}|{{ undefined_thing|string }}|{{ undefined_thing|join(',') }}
{{ 'A'|lower ~ 1|string }} {{ 1|default(2) }} {{ words|length > 3 }} {{ words|length is even }} {{ 'a,b'.split(',')|last }} {{ 'a,b'.split(',')[-1]|upper }}
{{ 'abc'|length }} {{ 'é中🍀'|length }} {{ '🍀x'[1] }} {{ '🍀x'.find('x') }} {{ '\u00e9'|upper }} {{ 'é中🍀'.encode()|length }}
{{ people|join(', ', attribute='name') }}
{{ words|join(d='-') }}
{{ 2.345|round(precision=1) }}
{{ 'xxaxx'|trim('x') }}
{{ 'x'|int(default=1) }}
{{ 'ff'|int(0, 16) }}
{{ '12'|int(base=10) }}
{{ words|slice(3, '-')|list }}
{{ [1, 2]|sum(start=10) }}
{{ people|groupby(attribute='age')|map('first')|list }} {{ people|unique(attribute='city')|map(attribute='name')|list }} {{ people|max(attribute='age') }} {{ people|min(attribute='age') }} {{ people|sort(attribute='city,name')|map(attribute='name')|list }} {{ people|sort(reverse=true, attribute='name')|first }}
{{ [d]|map(attribute='nested.k')|list }}
{{ [[1, 2], [3]]|map('first')|list }}
{{ words|map('replace', 'p', 'P')|list }}
{{ words|select|list }}
{{ ['', 0, none, 'x']|select|list }}
{{ ['', 'x']|reject|list }}
{{ words|select('string')|list }}
{{ 'a: %r, %s' % ('it', "it's") }} {{ '%r' % ["it's"] }} {{ '%-6r|' % 'a' }} {{ '%i' % 3 }} {{ '%e' % 12345.678 }} {{ '%g' % 0.5 }} {{ '%c' % 'x' }} {{ '%+d' % 5 }} {{ '%s' % ((1, 2),) }}
{{ none is iterable }} {{ none is sequence }} {{ undefined_thing is iterable }} {{ 5 is string }} {{ 5.5 is number }} {{ words is string }} {{ range(2) is iterable }} {{ d.items() is iterable }} {{ 'x'|list is sequence }}
{{ '\\d' }} {{ '\d\w\.' }} {{ "a\\nb" }} {{ '\101\60' }} {{ '\a'|length }} {{ '\U0001f340' }}
{{ 3.7|int }} {{ '3.7'|int }} {{ none|int }} {{ [1]|int(7) }} {{ ''|int }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ none|float }} {{ true|int }} {{ ' 42 '|int }} {{ '1e3'|float }} {{ '-5'|int }}
{{ 'ab\n\ncd'|indent }} {{ ''|indent }}| {{ 'a\nb'|indent(width=1, first=true) }} {{ 'a\n\nb\n'|indent(2) }}|
{{ d|tojson(indent=none) }} {{ d.nested|tojson(indent=2, ensure_ascii=false) }} {{ [1, [2, {'a': []}]]|tojson(indent=2, separators=(', ', ' : ')) }} {{ 'x'|tojson }} {{ none|tojson }} {{ 1.0|tojson }} {{ true|tojson }} {{ '</script>\u2028'|tojson }}
{{ (people|first).name }} {{ people[-1].name }} {{ people|length - 1 }} {{ people|map(attribute='name')|map('lower')|join('/') }} {{ (people|last)['age'] + 1 }} {{ people[1:]|map(attribute='name')|list }} {{ people|batch(2)|map('length')|list }}
{% for p in people|sort(attribute='name', reverse=true) %}{{ p.name }}{{ ', ' if not loop.last }}{% endfor %} {% for k in d if k in ['a', 'b'] %}{{ k }}{% endfor %} {% for p in people if p.age > 26 and loop is defined %}{{ p.name }}{% else %}no{% endfor %}
{% set ns = namespace(x=[], n=0) %}{% for p in people %}{% if p.city == 'Rome' %}{% set ns.x = ns.x + [p.name] %}{% set ns.n = ns.n + p.age %}{% endif %}{% endfor %}{{ ns.x|join('+') }}={{ ns.n }} {{ ns.n is number }}
{% macro a() %}{{ caller is defined }}{% endmacro %}{{ a() }}{% macro b(x=d.b) %}{{ x }}{% endmacro %}{{ b() }}{{ b(5) }}{% set f = b %}{{ f(6) }}
{% macro loop_in(xs) %}{% for x in xs %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}{% endmacro %}{{ loop_in(words)|upper }} {{ loop_in([]) }}|
{% if d.nested.k is defined and d.nested.k|length > 1 and d.nested.k[1] is mapping %}deep{% endif %} {% if words and not empty %}w{% endif %} {% if 'Apple' in words|map('lower') %}x{% else %}y{% endif %}
{{ messages[0]['content'].split('i')[0] }} {{ (messages|first)['role']|upper }} {{ messages|selectattr('role', '==', 'user')|list|length }} {{ messages|rejectattr('role', 'in', ['user'])|list }} {{ messages[-1]['role'] == 'user' }} {{ messages[0].get('name') is none }} {{ 'tool_calls' in messages[0] }} {{ messages[0].tool_calls is defined }}
{{ 'x=%s' % d.b + '!' }} {{ ('%s' % 5)|int + 1 }} {{ '%s' % (d.f) }} {{ '%s-%s' % (d.a, words[0]|upper) }} {{ '%s' % words|length }} {{ -7 % 4 }} {{ d.b % 2 == 1 }} {{ [1 % 2, 3 % 2] }} {{ {'k': 5 % 3} }} {{ 5 % 3 ~ 'a' }} {{ 2 ** 3 % 5 }} {{ 17 % 10 // 2 }} {{ 17 // 10 % 2 }}
""".strip("\n").split("\n")

BLOCKS = {
    "whitespace": "a\n  {% if true %}\n  b\n  {% endif %}\nc\n{% for i in [1] -%}\n   x\n{%- endfor %}\n\n\nd {{ 1 }}\n{{ 2 }}\n  {# c #}\ne\n   {{- 3 -}}   \nf\n",
    "plus_keeps": "  {%+ if true %}x{% endif +%}\n  y\n  {%+ set a = 1 +%}\nz\n",
    "trailing_newlines": "a\n\n",
    "carriage_returns": "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r",
    "comment_lines": "{# first\n second #}\nx\n{#- y -#}\n z\n  {# indented #}  \nend",
    "set_block_lines": "{% set x %}\n  line\n{% endset %}\n[{{ x }}]\n",
    "macro_lines": "{% macro a(x) %}\n  <{{ x }}>\n{% endmacro %}\n{{ a(1) }}{{ a(2)|trim }}\n",
    "multi_line_expression": "{{ {\n  'a': 1,\n  'b': [\n    1,\n    2 % 2\n  ]\n} }}\n{% set x = (\n  'a'\n  'b'\n) %}\n{{ x }}",
    "nested_blocks": "{% for p in people %}\n  {% for q in people %}\n    {% if p.name == q.name %}\n{{ p.name }}\n    {% endif %}\n  {% endfor %}\n{% endfor %}\n",
    "error_line": "one\ntwo\n{{ 1 +\n 'a' }}\n",
    "raise_in_macro": "{% macro m() %}{{ raise_exception('from a macro') }}{% endmacro %}\n{{ m() }}",
    "empty": "",
    "only_text": "no tags % at all {",
}


def render(template, messages, variables):
    variables = dict(variables)
    variables.setdefault("add_generation_prompt", True)
    case = {"template": template, "messages": messages, "variables": {**SPECIAL, **variables}}
    try:
        rendered, _ = render_jinja_template([messages], chat_template=template, **{**SPECIAL, **variables})
        case["expected"] = rendered[0]
    except jinja2.TemplateSyntaxError:
        case["error"] = True
    except jinja2.UndefinedError:
        case["error"] = True
    except jinja2.exceptions.SecurityError:
        case["error"] = True
    except jinja2.TemplateError as error:
        case["error"] = True
        case["raised"] = str(error)
    except Exception:
        case["error"] = True
    return case


def main():
    cases = []
    for family, template in FAMILIES.items():
        for name, (messages, variables) in CONVERSATIONS.items():
            cases.append({"name": f"{family}/{name}", **render(template, messages, variables)})
    for family, template in FILES.items():
        for name, (messages, variables) in CONVERSATIONS.items():
            cases.append({"name": f"{family}/{name}", **render(template, messages, variables)})
    for index, snippet in enumerate(SNIPPETS):
        cases.append({"name": f"snippet/{index + 1}", **render(snippet, PLAIN, DATA)})
    for name, template in BLOCKS.items():
        cases.append({"name": f"block/{name}", **render(template, PLAIN, DATA)})
    # The data is the same in every snippet: named once, to keep the file small.
    document = {"jinja2": jinja2.__version__, "data": DATA, "families": FAMILIES, "cases": []}
    document["conversations"] = {
        name: {"messages": messages, "variables": {"add_generation_prompt": True, **SPECIAL, **variables}}
        for name, (messages, variables) in CONVERSATIONS.items()
    }
    for case in cases:
        group, _ = case["name"].split("/")
        if group in FILES:
            for key in ("template", "messages", "variables"):
                del case[key]
        elif group in ("snippet", "block"):
            del case["variables"]
            del case["messages"]
        else:
            del case["template"]
        document["cases"].append(case)
    document["special"] = SPECIAL
    document["snippet_messages"] = PLAIN
    lines = json.dumps(document, ensure_ascii=False, indent=0)
    (FOLDER / "template_cases.json").write_text(lines + "\n", encoding="utf-8")
    failed = sum("error" in case for case in cases)
    print(f"{len(cases)} cases, {failed} of which fail in Jinja2")


if __name__ == "__main__":
    main()
