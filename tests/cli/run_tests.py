#!/usr/bin/env python3
"""Runs the tests of this folder, or those named; with --junit FILE also writes what came of each.

    tests/cli/run_tests.py [--junit FILE] [NAME...]      e.g. test_models.Bench
"""

import argparse
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


class Recorder(unittest.TextTestResult):
    """Keeps (test, seconds, problem or None, skipped) of each test."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.records = []
        self.begun = 0.0

    def startTest(self, test):
        self.begun = time.monotonic()
        super().startTest(test)

    def record(self, test, problem=None, skipped=False):
        self.records.append((test.id(), time.monotonic() - self.begun, problem, skipped))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.record(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.record(test, self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self.record(test, self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.record(test, reason, True)

    def write(self, path):
        suite = ElementTree.Element("testsuite", name="cli")
        for name, seconds, problem, skipped in self.records:
            group, _, short = name.rpartition(".")
            case = ElementTree.SubElement(suite, "testcase", classname=group, name=short, time=f"{seconds:.3f}")
            if problem:
                ElementTree.SubElement(case, "skipped" if skipped else "failure").text = problem.replace("\x1b", "^[")
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        ElementTree.ElementTree(suite).write(path, encoding="unicode")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--junit")
    parser.add_argument("--folder", help="whose tests to run (default: this one's)")
    parser.add_argument("names", nargs="*", default=["test_commands", "test_models", "test_bench", "test_convert", "test_adapters",
                                                   "test_manage", "test_pool", "test_verbs", "test_texts", "test_docs"])
    options = parser.parse_args()
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    if options.folder:
        sys.path.insert(0, os.path.abspath(options.folder))
    suite = unittest.defaultTestLoader.loadTestsFromNames(options.names)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Recorder).run(suite)
    if options.junit:
        result.write(options.junit)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
