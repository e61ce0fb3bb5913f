"""tools/count_tests counts single tests, and never takes a crash or a missing program for a success."""

import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "count_tests")
GOOGLETEST = """<testsuites><testsuite>
<testcase name="a" status="run" result="completed"/>
<testcase name="b" status="run" result="completed">{}</testcase>
<testcase name="c" status="run" result="skipped"><skipped message="no AVX-512"/></testcase>
<testcase name="d" status="notrun" result="suppressed"/>
</testsuite></testsuites>"""


def count(entries, results):
    """What the program prints for ctest entries (XML text) and result files {name: XML text}."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in results.items():
            with open(os.path.join(folder, name + ".xml"), "w", encoding="utf-8") as out:
                out.write(text)
        junit = os.path.join(folder, "ctest.junit")
        with open(junit, "w", encoding="utf-8") as out:
            out.write(f"<testsuite>{entries}</testsuite>")
        return subprocess.run([sys.executable, PROGRAM, junit, folder], capture_output=True, text=True,
                              check=True).stdout.strip()


class CountTests(unittest.TestCase):
    def check(self, expected, entries, results=None):
        self.assertEqual(count(entries, results or {}), expected)

    def test_counts_an_entry_without_results_once(self):
        self.check("1 1", '<testcase name="x" status="run"/><testcase name="y" status="fail"><failure/></testcase>')

    def test_counts_the_single_tests_of_a_program(self):
        self.check("2 0", '<testcase name="x" status="run"/>', {"x": GOOGLETEST.format("")})
        self.check("1 1", '<testcase name="x" status="fail"/>', {"x": GOOGLETEST.format("<failure/>")})

    def test_counts_a_failure_after_the_last_test(self):
        self.check("2 1", '<testcase name="x" status="fail"/>', {"x": GOOGLETEST.format("")})

    def test_counts_a_program_that_crashed_as_failed(self):
        self.check("0 1", '<testcase name="x" status="fail"/>', {"x": "<testsuites><testsu"})

    def test_counts_a_missing_program_as_failed(self):
        self.check("0 1", '<testcase name="x" status="notrun"><skipped message="Unable to find executable"/></testcase>')

    def test_leaves_out_what_was_skipped(self):
        self.check("0 0", '<testcase name="x" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>'
                          '<testcase name="y" status="disabled"/>')

    def test_counts_an_unreadable_report_as_failed(self):
        self.check("0 1", "<testcase")


if __name__ == "__main__":
    unittest.main()
