"""Drives a server on the loopback address with several streams at once, as an OpenAI client would, and times them.

Standard library only. Each stream is a thread with a connection of its own; the client's own work is the same for
every server measured. All loops are bounded by the number of streams and tokens asked for.
"""

import http.client
import json
import random
import threading
import time
import urllib.parse

TIMEOUT_S = 600
WORDS = ("time", "river", "engine", "letter", "garden", "winter", "number", "castle", "forest", "silver", "morning",
         "island", "music", "paper", "doctor", "window", "school", "state", "family", "group", "country", "problem",
         "hand", "part", "place", "case", "week", "company", "system", "program", "question", "night", "point", "home",
         "water", "room", "mother", "area", "money", "story", "fact", "month", "study", "book", "word", "business",
         "issue", "side", "head", "house", "service", "friend", "father", "power", "hour", "game", "line", "member")


def prompt_of(num_words, stream):
    """Plain English words, different for each stream, so that no cache of prompts helps."""
    return " ".join(WORDS[(stream * 7 + k * (stream + 3) + k // len(WORDS)) % len(WORDS)] for k in range(num_words))


def fresh_words(num_words, *seeds):
    """Words at random, the same for the same seeds and for no others: nothing of them is in any cache."""
    source = random.Random("/".join(map(str, seeds)))
    return " ".join(source.choice(WORDS) for _ in range(num_words))


class Stream(threading.Thread):
    """One streamed completion, or a chat's if `prompt` is a list of messages. After join: `token_times` (seconds, one
    for each piece of text), `text` and `usage`, or `error`."""

    def __init__(self, url, model, prompt, max_tokens, end_tokens, extra=None):
        """`extra`: more fields of the request, which win."""
        super().__init__(daemon=True)
        self.address = urllib.parse.urlsplit(url).netloc
        is_chat = isinstance(prompt, list)
        self.path = "/v1/chat/completions" if is_chat else "/v1/completions"
        self.body = json.dumps({
            "model": model, "messages" if is_chat else "prompt": prompt, "max_tokens": max_tokens, "temperature": 0,
            "stream": True, "stream_options": {"include_usage": True},
            # Every stream makes as many tokens as asked for: the end tokens are ruled out.
            "logit_bias": {str(token): -100 for token in end_tokens}, **(extra or {})})
        self.started = 0.0
        self.token_times = []
        self.text = ""
        self.usage = None
        self.error = None
        self.is_enough = False  # set by others: what comes later is not wanted

    @property
    def first_ms(self):
        return (self.token_times[0] - self.started) * 1000

    def prefilled_tokens(self):
        """Tokens of the prompt that were computed and not found in a cache, as far as the server tells."""
        usage = self.usage or {}
        details = usage.get("prompt_tokens_details") or {}
        return usage.get("prompt_tokens", 0) - (details.get("cached_tokens") or 0)

    def run(self):
        try:
            connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
            self.started = time.perf_counter()
            connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {response.read(400)!r}")
            for line in response:
                if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                    continue
                now = time.perf_counter()
                chunk = json.loads(line[6:])
                self.usage = chunk.get("usage") or self.usage
                if chunk.get("error"):
                    raise RuntimeError(f"in mid-stream: {chunk['error']}")
                text = "".join(choice.get("text") or (choice.get("delta") or {}).get("content") or ""
                               for choice in chunk.get("choices", ()))
                ended = any(choice.get("finish_reason") for choice in chunk.get("choices", ()))
                # A token that is no text, as random weights choose them, still shows when the answer ends.
                if text or (ended and not self.token_times):
                    self.token_times.append(now)
                    self.text += text
                if self.is_enough:
                    break
            response.close()
            connection.close()
            if not self.token_times:
                raise RuntimeError("the stream had no token")
        except (OSError, ValueError, RuntimeError, http.client.HTTPException) as error:
            self.error = error


def run_streams(streams):
    """Starts all, waits for all; raises what went wrong in any."""
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()
    for stream in streams:
        if stream.error:
            raise RuntimeError(f"a stream failed: {stream.error}")


def completion_tokens(stream, max_tokens):
    return (stream.usage or {}).get("completion_tokens") or max_tokens


def measure_crowd(url, model, num_streams, max_tokens, end_tokens, round_number):
    """Tokens per second of all streams together, request to last token, and the time to each first token (ms)."""
    streams = [Stream(url, model, prompt_of(16, round_number * 64 + k), max_tokens, end_tokens)
               for k in range(num_streams)]
    run_streams(streams)
    begin = min(stream.started for stream in streams)
    end = max(stream.token_times[-1] for stream in streams)
    tokens = sum(completion_tokens(stream, max_tokens) for stream in streams)
    first = [(stream.token_times[0] - stream.started) * 1000 for stream in streams]
    return tokens / (end - begin), sorted(first)[len(first) // 2]


def measure_disturbance(url, model, num_streams, num_words, end_tokens, round_number):
    """A long prompt arrives while streams run: (longest gap of a running stream while it is prefilled, their median
    gap before, time to its first token), all in ms."""
    running = [Stream(url, model, prompt_of(16, round_number * 64 + k), 2000, end_tokens) for k in range(num_streams)]
    for stream in running:
        stream.start()
    deadline = time.perf_counter() + TIMEOUT_S
    while any(len(stream.token_times) < 40 and stream.is_alive() for stream in running):
        if time.perf_counter() > deadline:
            raise RuntimeError("the running streams made no tokens")
        time.sleep(0.005)
    late = Stream(url, model, fresh_words(num_words, "disturbance", round_number), 4, end_tokens)
    run_streams([late])
    for stream in running:
        stream.is_enough = True
    for stream in running:
        stream.join()
        if stream.error:
            raise RuntimeError(f"a stream failed: {stream.error}")
    before, during = [], []
    for stream in running:
        for earlier, later in zip(stream.token_times, stream.token_times[1:]):
            if later < late.started:
                before.append((later - earlier) * 1000)
            elif earlier < late.token_times[0]:
                during.append((later - earlier) * 1000)
    if not before or not during:
        raise RuntimeError("the running streams ended before the long prompt did: nothing to compare")
    return max(during), sorted(before)[len(before) // 2], late.first_ms


def measure_first_token(url, model, prompt, end_tokens, max_tokens=1):
    """A request by itself; the finished stream."""
    stream = Stream(url, model, prompt, max_tokens, end_tokens)
    run_streams([stream])
    return stream


def measure_beside_prefill(url, model, long_words, short_words, delay_s, end_tokens, round_number):
    """Time to the first token (ms) of a short request that is sent `delay_s` after a long prompt."""
    long = Stream(url, model, fresh_words(long_words, "beside, long", round_number), 1, end_tokens)
    short = Stream(url, model, fresh_words(short_words, "beside, short", round_number), 1, end_tokens)
    long.start()
    time.sleep(delay_s)  # the delay is what is measured
    run_streams([short])
    long.join()
    if long.error:
        raise RuntimeError(f"a stream failed: {long.error}")
    return short.first_ms
