"""`mlxd probe`."""

import json
import os
import unittest

from program import MODEL, ProgramTest


class Probe(ProgramTest):
    with_model = True

    def test_reports_keeps_and_compares(self):
        folder = os.path.join(self.home, "reports")
        text = self.run_program("probe", MODEL, "--context", "512", "--save", folder)[0]
        for beginning in (MODEL + ", cpu", "family     chatml", "context    ", "ends       <|im_end|>", "reasoning  ", "tools      hermes",
                          "structure  kept to a schema: yes", "switches   none", "speed      1 stream "):
            self.assertIn("\n" + beginning, "\n" + text)
        self.assertNotIn("!", text)
        file = os.path.join(folder, MODEL + ".json")
        with open(file, encoding="utf-8") as kept:
            report = json.load(kept)
        self.assertTrue(report["tools"]["held_to_call"])
        again = json.loads(self.run_program("probe", MODEL, "--context", "512", "--audit", folder, "--json")[0])
        self.assertEqual(again["differences"], [])
        report["family"] = "llama3"
        with open(file, "w", encoding="utf-8") as kept:
            json.dump(report, kept)
        changed = self.run_program("probe", MODEL, "--context", "512", "--audit", folder, check=1)[0]
        self.assertIn("! The family was llama3 and is chatml now.\n", changed)

    def test_says_what_is_wrong(self):
        self.assertIn("not both", self.run_program("probe", MODEL, "--all", check=2)[1])
        missing = os.path.join(self.home, "nowhere")
        self.assertIn(missing, self.run_program("probe", MODEL, "--context", "512", "--audit", missing, check=1)[1])


if __name__ == "__main__":
    unittest.main()
