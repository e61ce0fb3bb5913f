"""LoRA adapters of the demo model on the command line and through its server."""

import json
import os
import random
import struct
import urllib.error
import urllib.request

from program import MODEL, ProgramTest

GREEDY = ("--temperature", "0", "--max-tokens", "12")
HIDDEN = 576  # of the demo model
KEY_VALUES = 192
RANK = 4


def write_adapter(folder, scale, **config):
    """An adapter of the last layer's values, in mlx-lm's form."""
    numbers = random.Random(7)
    shapes = {"lora_a": [HIDDEN, RANK], "lora_b": [RANK, KEY_VALUES]}
    header, data = {}, b""
    for part, shape in shapes.items():
        values = [numbers.uniform(-0.3, 0.3) for _ in range(shape[0] * shape[1])]
        piece = struct.pack(f"<{len(values)}f", *values)
        header[f"model.layers.29.self_attn.v_proj.{part}"] = {
            "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    os.makedirs(folder)
    with open(os.path.join(folder, "adapters.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    parameters = {"rank": RANK, "scale": scale, "dropout": 0.0, "keys": ["self_attn.v_proj"]}
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump({"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters, **config}, file)


class Adapters(ProgramTest):
    with_model = True

    def setUp(self):
        super().setUp()
        self.strong = os.path.join(self.home, "adapters", "strong")
        write_adapter(self.strong, 20.0)

    def test_run_answers_with_the_adapter_by_name_and_by_folder(self):
        question = "Who wrote Romeo and Juliet?"
        plain, _ = self.run_program("run", MODEL, question, *GREEDY)
        adapted, _ = self.run_program("run", f"{MODEL}+strong", question, *GREEDY)
        self.assertNotEqual(adapted, plain)
        self.assertEqual(self.run_program("run", f"instruct-4bit+{self.strong}", question, *GREEDY)[0], adapted)
        self.assertEqual(self.run_program("run", f"{MODEL}+other", question, *GREEDY,
                                          MLXD_ADAPTER=f"other={self.strong}")[0], adapted)
        # The model is remembered without it.
        self.assertEqual(self.run_program("run", question, *GREEDY)[0], plain)

    def test_what_is_wrong_is_said(self):
        for name, part in (("none", "there are strong"), ("/nowhere", "/nowhere is not a folder")):
            _, err = self.run_program("run", f"{MODEL}+{name}", "hi", check=1)
            self.assertTrue(err.startswith("mlxd: "), err)
            self.assertIn(part, err)
        _, err = self.run_program("run", "nothing+strong", "hi", check=1)
        self.assertIn("no model 'nothing+strong'", err)
        for value, part in (("strong", "NAME=FOLDER"), ("a=/nowhere", "adapter_config.json")):
            _, err = self.run_program("run", MODEL, "hi", MLXD_ADAPTER=value, check=1)
            self.assertIn(part, err)
        write_adapter(os.path.join(self.home, "adapters", "whole"), 1.0, fine_tune_type="full")
        _, err = self.run_program("run", f"{MODEL}+whole", "hi", check=1)
        self.assertIn("mlx_lm.fuse", err)

    def test_perplexity_is_of_the_adapted_model(self):
        text = os.path.join(self.home, "text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write("The quick brown fox jumps over the lazy dog, and then it sleeps. " * 8)
        results = [json.loads(self.run_program("perplexity", "--json", "--context", "64", name, text)[0])
                   for name in (MODEL, f"{MODEL}+strong")]
        self.assertEqual(results[1]["model"], f"{MODEL}+strong")
        self.assertGreater(results[1]["perplexity"], results[0]["perplexity"] * 1.01)

    def test_a_server_has_adapters_of_flags_and_places(self):
        url = self.start_server("--adapter", f"given={self.strong}", "--adapter-memory", "64MB", "--log-level", "off")
        with urllib.request.urlopen(url + "/v1/models") as answer:
            names = [model["id"] for model in json.load(answer)["data"]]
        self.assertEqual(names, [MODEL, f"{MODEL}+given", f"{MODEL}+strong"])

        def ask(model):
            body = json.dumps({"model": model, "prompt": "Once upon a time", "temperature": 0, "max_tokens": 12})
            request = urllib.request.Request(url + "/v1/completions", body.encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)["choices"][0]["text"]

        plain, given, strong = (ask(name) for name in names)
        self.assertEqual(given, strong)
        self.assertNotEqual(given, plain)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            ask(f"{MODEL}+none")
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()
