"""Perplexity and conversion of the demo model: figures against mlx-lm's, files, refusals, Ctrl-C."""

import json
import os
import signal
import struct
import subprocess
import time

from program import BINARY, MODEL, MODEL_FOLDER, REPOSITORY, TIMEOUT_S, ProgramTest

TEXT = os.path.join(REPOSITORY, "tests/parity/text.txt")
# Of the text's first 1,500 bytes, windows of 128 tokens by 64: what mlx-lm 0.32.2 gives in single precision
# (the model loaded as in tests/parity/make_demo_logits.py).
MLX_LM_PERPLEXITY = 30.589214
SHORT = ("--context", "128", "--stride", "64")


def read_tensors(folder):
    """Bytes of each tensor of a folder with one weight file, by name."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    data = content[8 + length:]
    return {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()}


class Demo(ProgramTest):
    with_model = True

    def setUp(self):
        super().setUp()
        self.text = os.path.join(self.home, "text.txt")
        with open(TEXT, "rb") as source, open(self.text, "wb") as file:
            file.write(source.read(1500))
        self.models = os.path.join(self.home, "models")

    def perplexity(self, model, *arguments):
        out, err = self.run_program("perplexity", model, self.text, *SHORT, "--json", *arguments)
        self.assertEqual(err, "")
        return json.loads(out)


class Perplexity(Demo):
    def test_the_reference_gives_mlx_lms(self):
        report = self.perplexity(MODEL, "--reference")
        self.assertAlmostEqual(report["perplexity"], MLX_LM_PERPLEXITY, delta=0.001 * MLX_LM_PERPLEXITY)
        self.assertEqual((report["text_tokens"], report["scored_tokens"], report["windows"]), (365, 364, 5))
        self.assertEqual((report["context_tokens"], report["stride_tokens"], report["bos"]), (128, 64, False))
        self.assertIn("reference", report["backend"])

    def test_the_path_that_serves_stays_close_and_repeats_itself(self):
        report = self.perplexity(MODEL)
        self.assertAlmostEqual(report["perplexity"], MLX_LM_PERPLEXITY, delta=0.01 * MLX_LM_PERPLEXITY)
        self.assertEqual(self.perplexity(MODEL, "--threads", "1")["mean_loss"], report["mean_loss"])
        finer = self.perplexity(MODEL, "--activations", "16")
        self.assertAlmostEqual(finer["perplexity"], MLX_LM_PERPLEXITY, delta=0.002 * MLX_LM_PERPLEXITY)

    def test_prints_lines_for_people(self):
        out, err = self.run_program("perplexity", MODEL, self.text, *SHORT)
        self.assertEqual(err, "")
        self.assertRegex(out, r"^SmolLM2-135M-Instruct-4bit, cpu \(.*\)\nperplexity  30\.\d{4} \+- \d\.\d{4}\n"
                              r"loss        3\.\d{5} nat a token, \d\.\d{4} bits a byte\n"
                              r"tokens      364 of 365 scored, in 5 windows of 128, stride 64\n"
                              r"time        .* tokens/s, loading .*\n$")

    def test_refuses_what_it_cannot_measure(self):
        path = os.path.join(self.home, "bad.txt")

        def refuses(content, message, *arguments, model=MODEL):
            with open(path, "wb") as file:
                file.write(content)
            _, err = self.run_program("perplexity", model, path, *arguments, check=1)
            self.assertTrue(err.startswith("mlxd: "), err)
            self.assertIn(message, err)

        refuses(b"", "bad.txt is empty: give a file with text")
        refuses(b"a", "bad.txt has 1 token, at least 2 are needed")
        refuses(b"abc \xff", "not valid UTF-8 at byte 4; save it as UTF-8")
        refuses(b"some text", "must be 2 to 8192", "--context", "9000")
        refuses(b"some text", "the stride is 100, must be at most the context, 64", "--context", "64", "--stride",
                "100")
        refuses(b"some text", "no model 'SmolLM3'; nearest: SmolLM2", model="SmolLM3")
        _, err = self.run_program("perplexity", MODEL, os.path.join(self.home, "absent.txt"), check=1)
        self.assertIn("absent.txt", err)
        for arguments in (["--reference", "--activations", "16"], ["--context", "1"], ["--stride", "x"]):
            self.run_program("perplexity", MODEL, self.text, *arguments, check=2)
        self.run_program("perplexity", MODEL, check=2)


class Convert(Demo):
    def convert(self, name, *arguments, check=0):
        return self.run_program("convert", MODEL, "--out", os.path.join(self.models, name), *arguments, check=check)

    def names(self):
        return sorted(os.listdir(self.models))

    def test_quantizing_at_load_is_the_converted_model(self):
        self.convert("plain", "--dequantize")
        _, err = self.run_program("convert", "plain", "--bits", "6", "--group", "32", "--out",
                                  os.path.join(self.models, "six"))
        self.assertNotIn("already", err)
        at_load = self.perplexity("plain", "--quantize", "6", "--quantize-group", "32")
        self.assertEqual(at_load["mean_loss"], self.perplexity("six")["mean_loss"])
        self.assertNotEqual(at_load["mean_loss"], self.perplexity("plain")["mean_loss"])
        answers = [self.run_program("run", *arguments, "Who wrote Romeo and Juliet?", "--temperature", "0", "--max-tokens", "12")[0]
                   for arguments in (["plain", "--quantize", "6", "--quantize-group", "32"], ["six"])]
        self.assertEqual(answers[0], answers[1])
        _, err = self.run_program("perplexity", MODEL, self.text, "--quantize", "4", check=1)
        self.assertRegex(err, r"is quantized already, with \d bits in groups of 32; leave out --quantize")
        self.run_program("perplexity", "plain", self.text, "--quantize-group", "32", check=2)

    def test_scales_of_least_squares_keep_values_that_are_steps_apart(self):
        self.convert("plain", "--dequantize")
        self.convert("five", "--bits", "5", "--group", "32")
        self.convert("fitted", "--bits", "5", "--group", "32", "--scales", "least-squares")
        source, mlx, least = (self.perplexity(name)["perplexity"] for name in ("plain", "five", "fitted"))
        self.assertLess(least / source, 1.04)
        self.assertLess(least - source, (mlx - source) / 2)
        for arguments in (["--bits", "5", "--scales", "best"], ["--mode", "mxfp4", "--scales", "least-squares"]):
            _, err = self.run_program("convert", MODEL, *arguments, "--out", os.path.join(self.models, "no"), check=2)
            self.assertIn("--scales", err)

    def test_eight_bits_are_as_good_as_the_source(self):
        out, err = self.convert("eight", "--bits", "8", "--group", "64", "--perplexity", self.text, "--json")
        report = json.loads(out)
        self.assertLess(abs(report["perplexity"]["ratio"] - 1), 0.01)
        self.assertEqual((report["layers_quantized"], report["layers_copied"], report["layers_plain"]), (211, 0, 0))
        self.assertAlmostEqual(report["bits_per_weight"], 8.5, delta=0.01)
        self.assertIn("note: the source is quantized already: 211 layers", err)
        self.assertIn("converting " + MODEL + ": 100 %", err)
        shown = json.loads(self.run_program("show", "eight", "--json")[0])
        self.assertEqual(shown["quantization"], "8-bit, group 64")
        answer, _ = self.run_program("run", "eight", "Who wrote Romeo and Juliet?", "--temperature", "0",
                                     "--max-tokens", "24")
        self.assertIn("William Shakespeare", answer)
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            with open(os.path.join(MODEL_FOLDER, name), "rb") as old:
                with open(os.path.join(self.models, "eight", name), "rb") as new:
                    self.assertEqual(new.read(), old.read())

    def test_four_bits_in_its_own_groups_are_its_own_codes(self):
        out, err = self.convert("four", "--bits", "4", "--group", "32")
        self.assertTrue(out.endswith(os.path.join(self.models, "four") + "\n"), out)
        self.assertIn("210 layers are stored like this already and were copied", err)
        old, new = read_tensors(MODEL_FOLDER), read_tensors(os.path.join(self.models, "four"))
        self.assertEqual(set(new), set(old))
        for name, data in old.items():
            if "proj" in name:
                self.assertEqual(new[name], data, name)

    def test_floats_and_small_floats_load(self):
        for name, arguments, quantization, bound in (("plain", ("--dequantize",), "float16", 0.01),
                                                     ("mx", ("--mode", "mxfp8"), "mxfp8", 0.05),
                                                     ("nv", ("--mode", "nvfp4"), "nvfp4", 0.5)):
            out, _ = self.convert(name, *arguments, "--perplexity", self.text, "--json")
            self.assertLess(abs(json.loads(out)["perplexity"]["ratio"] - 1), bound)
            self.assertEqual(json.loads(self.run_program("show", name, "--json")[0])["quantization"], quantization)

    def test_refuses_to_replace_or_to_guess(self):
        self.convert("four", "--mixed", "mixed_4_6", "--group", "32")
        before = read_tensors(os.path.join(self.models, "four"))
        _, err = self.convert("four", "--bits", "8", check=1)
        self.assertRegex(err, r"^mlxd: .*four exists already; .* \(--force replaces a model\)\n$")
        self.assertEqual(read_tensors(os.path.join(self.models, "four")), before)
        _, err = self.convert(MODEL, "--bits", "8", "--force", check=1)
        self.assertIn("lie one in the other", err)
        _, err = self.convert("x", "--bits", "8", "--perplexity", os.path.join(self.home, "absent.txt"), check=1)
        self.assertIn("absent.txt", err)
        for arguments, message in (((), "say what the model is to become"), (("--bits", "7"), "--bits must be 2, 3, 4"),
                                   (("--bits", "4", "--group", "16"), "--group 32, 64 or 128"),
                                   (("--mode", "int4"), "'int4' is none of affine"),
                                   (("--mode", "mxfp4", "--bits", "8"), "has 4 bits in groups of 32"),
                                   (("--mixed", "mixed_1_2"), "'mixed_1_2' is none of"),
                                   (("--mixed", "mixed_2_6", "--bits", "4"), "leave --bits out"),
                                   (("--dequantize", "--bits", "4"), "does not go with"),
                                   (("--bits", "4", "--dtype", "float8"), "'float8' is none of"),
                                   (("--bits", "4", "--threads", "1"), "--threads is for measuring")):
            _, err = self.convert("x", *arguments, check=2)
            self.assertTrue(err.startswith("mlxd: "), err)
            self.assertIn(message, err)
        self.assertEqual(self.names(), sorted([MODEL, "four"]))

    def test_control_c_leaves_nothing(self):
        with subprocess.Popen([BINARY, "convert", MODEL, "--out", os.path.join(self.models, "x"), "--bits", "3"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment) as child:
            deadline = time.monotonic() + TIMEOUT_S
            weights = os.path.join(self.models, ".converting-x", "model.safetensors")
            while not os.path.exists(weights) and time.monotonic() < deadline:
                time.sleep(0.001)
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(TIMEOUT_S), 1)
            self.assertEqual(child.stdout.read(), b"")
            self.assertRegex(child.stderr.read().decode(), r"mlxd: stopped: .*x was not made\n$")
        self.assertEqual(self.names(), [MODEL])
