# Exceptions, generators, closures, dictionaries, strings, regular expressions, big integers, sorting, classes, JSON.
import json
import re
import sys

size = int(sys.argv[1]) if len(sys.argv) > 1 else 200
digest = 0


def note(text):
    global digest
    for character in text:
        digest = (digest * 31 + ord(character)) & 0xFFFFFFFF


class Failure(Exception):
    def __init__(self, code):
        super().__init__(f"failure {code}")
        self.code = code


def risky(n):
    try:
        if n % 7 == 0:
            raise Failure(n)
        if n % 5 == 0:
            return [][n]
        return int("12x" if n % 11 == 0 else str(n))
    except Failure as failure:
        raise ValueError("wrapped") from failure
    finally:
        note("f")


def exceptions(count):
    caught = {}
    for n in range(count):
        try:
            risky(n)
        except (ValueError, IndexError) as error:
            name = f"{type(error).__name__}/{type(error.__cause__).__name__}"
            caught[name] = caught.get(name, 0) + 1
    return json.dumps(caught, sort_keys=True)


def primes(limit):
    composite = bytearray(limit + 1)
    for i in range(2, limit + 1):
        if not composite[i]:
            yield i
            composite[i * i :: i] = b"\1" * len(range(i * i, limit + 1, i))


def words(count):
    counts = {}
    text = "The vermilion bird rises from the south, and 12 others follow. " * 4
    for _ in range(count):
        for word in re.findall(r"[a-z]+", text, re.I):
            key = word.lower()[::-1]
            counts[key] = counts.get(key, 0) + 1
        text = text[1:] + text[0]
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:4]


for round in range(3):
    print(round, "exceptions", exceptions(size))
    print(round, "primes", sum(primes(size * 50)))
    print(round, "words", words(size // 4))
    print(round, "big", (3 ** (size * 10)).bit_count(), f"{size / 7:.6f}", digest, flush=True)
