/**
 * Six small repositories, one per ecosystem whose tools Debian or npm offer. Each reads durations and is wrong in the same way: of an amount only
 * the last digit counts, and one test says so. What the simulated implementer does about it stands beside the files.
 */
import type { Step } from '../../sim/scenario.ts'

export type Ecosystem = {
  name: string
  /** Programs it needs, and the Debian package each comes with; npm's is pinned in package.json. */
  needs: Readonly<Record<string, string>>
  files: Readonly<Record<string, string>>
  /** What `init` must propose. */
  setup: readonly string[]
  gates: readonly string[]
  fix: readonly Step[]
}

const manifest = (dependency: string): string =>
  `${JSON.stringify({ name: 'durations', version: '1.0.0', private: true, type: 'module', scripts: { test: 'node --test' }, dependencies: { units: dependency } }, null, 2)}\n`

const javascript = {
  '.gitignore': 'node_modules/\n',
  'vendor/units/package.json': '{ "name": "units", "version": "1.0.0", "type": "module", "exports": "./index.js" }\n',
  'vendor/units/index.js': 'export const units = { h: 3600, m: 60, s: 1 }\n',
  'parse.js': `import { units } from 'units'

export function parse(text) {
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\\d)([hms])/g)) total += Number(amount) * units[unit]
  return total
}
`,
  'parse.test.js': `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from './parse.js'

test('hours and minutes add up', () => assert.equal(parse('1h2m'), 3720))
test('amounts may have more than one digit', () => assert.equal(parse('90m'), 5400))
`,
}
const javascriptFix: readonly Step[] = [
  { replace: { path: 'parse.js', find: String.raw`/(\d)([hms])/g`, with: String.raw`/(\d+)([hms])/g` } },
  { shell: 'node --test' },
  { say: 'The pattern took one digit; now it takes all of them.' },
]

const npm: Ecosystem = {
  name: 'npm',
  needs: { node: '', npm: '' },
  files: {
    ...javascript,
    'package.json': manifest('file:vendor/units'),
    'package-lock.json': `${JSON.stringify(
      {
        name: 'durations',
        version: '1.0.0',
        lockfileVersion: 3,
        requires: true,
        packages: {
          '': { name: 'durations', version: '1.0.0', dependencies: { units: 'file:vendor/units' } },
          'node_modules/units': { resolved: 'vendor/units', link: true },
          'vendor/units': { version: '1.0.0' },
        },
      },
      null,
      2,
    )}\n`,
  },
  setup: ['npm ci'],
  gates: ['test'],
  fix: javascriptFix,
}

const pnpm: Ecosystem = {
  name: 'pnpm',
  needs: { node: '', pnpm: '' },
  files: {
    ...javascript,
    'package.json': manifest('link:vendor/units'),
    'pnpm-lock.yaml': `lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      units:
        specifier: link:vendor/units
        version: link:vendor/units
`,
  },
  setup: ['pnpm install --frozen-lockfile'],
  gates: ['test'],
  fix: javascriptFix,
}

const python: Ecosystem = {
  name: 'Python with pytest',
  needs: { python3: 'python3', pytest: 'python3-pytest' },
  files: {
    '.gitignore': '__pycache__/\n.pytest_cache/\n',
    'pyproject.toml': `[project]
name = "durations"
version = "1.0.0"

[project.optional-dependencies]
test = ["pytest"]
`,
    'durations.py': `import re

UNITS = {"h": 3600, "m": 60, "s": 1}


def parse(text):
    return sum(int(amount) * UNITS[unit] for amount, unit in re.findall(r"(\\d)([hms])", text))
`,
    'test_durations.py': `from durations import parse


def test_hours_and_minutes_add_up():
    assert parse("1h2m") == 3720


def test_amounts_may_have_more_than_one_digit():
    assert parse("90m") == 5400
`,
  },
  setup: [],
  gates: ['test'],
  fix: [
    {
      replace: { path: 'durations.py', find: String.raw`r"(\d)([hms])"`, with: String.raw`r"(\d+)([hms])"` },
    },
    { shell: 'python3 -m pytest' },
    { say: 'The pattern took one digit; now it takes all of them.' },
  ],
}

const go: Ecosystem = {
  name: 'Go',
  needs: { go: 'golang-go' },
  files: {
    'go.mod': 'module example.org/durations\n\ngo 1.19\n',
    'parse.go': `package durations

import (
	"regexp"
	"strconv"
)

var units = map[string]int{"h": 3600, "m": 60, "s": 1}
var part = regexp.MustCompile("([0-9])([hms])")

// Parse reads a duration such as 1h30m as seconds.
func Parse(text string) int {
	total := 0
	for _, found := range part.FindAllStringSubmatch(text, -1) {
		amount, _ := strconv.Atoi(found[1])
		total += amount * units[found[2]]
	}
	return total
}
`,
    'parse_test.go': `package durations

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]int{"1h2m": 3720, "90m": 5400} {
		if got := Parse(text); got != want {
			t.Errorf("Parse(%q) = %d, want %d", text, got, want)
		}
	}
}
`,
  },
  setup: [],
  gates: ['vet', 'test'],
  fix: [
    { replace: { path: 'parse.go', find: '"([0-9])([hms])"', with: '"([0-9]+)([hms])"' } },
    { shell: 'go test ./...' },
    { say: 'The pattern took one digit; now it takes all of them.' },
  ],
}

const rust: Ecosystem = {
  name: 'Rust',
  needs: { cargo: 'cargo', rustc: 'rustc', cc: 'gcc' },
  files: {
    '.gitignore': 'target/\n.cargo-home/\n',
    'Cargo.toml': '[package]\nname = "durations"\nversion = "1.0.0"\nedition = "2021"\n',
    'Cargo.lock': 'version = 3\n\n[[package]]\nname = "durations"\nversion = "1.0.0"\n',
    'src/lib.rs': `/// Seconds of a duration such as 1h30m.
pub fn parse(text: &str) -> u64 {
    let mut total = 0;
    let mut amount = 0;
    for c in text.chars() {
        match c {
            'h' => total += amount * 3600,
            'm' => total += amount * 60,
            's' => total += amount,
            _ => amount = u64::from(c.to_digit(10).unwrap_or(0)),
        }
        if !c.is_ascii_digit() {
            amount = 0;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn hours_and_minutes_add_up() {
        assert_eq!(parse("1h2m"), 3720);
    }

    #[test]
    fn amounts_may_have_more_than_one_digit() {
        assert_eq!(parse("90m"), 5400);
    }
}
`,
  },
  setup: ['CARGO_HOME="$PWD/.cargo-home" cargo fetch --locked'],
  gates: ['test'],
  fix: [
    {
      replace: {
        path: 'src/lib.rs',
        find: 'amount = u64::from(c.to_digit(10).unwrap_or(0))',
        with: 'amount = amount * 10 + u64::from(c.to_digit(10).unwrap_or(0))',
      },
    },
    { shell: 'CARGO_HOME="$PWD/.cargo-home" cargo test --locked --offline' },
    { say: 'Digits add up to one amount now.' },
  ],
}

const c: Ecosystem = {
  name: 'make and C',
  needs: { make: 'make', cc: 'gcc' },
  files: {
    '.gitignore': 'check\n',
    Makefile: `CFLAGS = -Wall -Werror

check: parse.c parse.h check.c
	$(CC) $(CFLAGS) -o check parse.c check.c

.PHONY: test
test: check
	./check
`,
    'parse.h': 'long parse(const char *text);\n',
    'parse.c': `#include "parse.h"

long parse(const char *text) {
  long total = 0, amount = 0;
  for (; *text; text++) {
    if (*text >= '0' && *text <= '9') amount = *text - '0';
    if (*text == 'h') total += amount * 3600, amount = 0;
    if (*text == 'm') total += amount * 60, amount = 0;
    if (*text == 's') total += amount, amount = 0;
  }
  return total;
}
`,
    'check.c': `#include <stdio.h>
#include "parse.h"

static int expect(const char *text, long want) {
  long got = parse(text);
  if (got != want) fprintf(stderr, "parse(%s) = %ld, want %ld\\n", text, got, want);
  return got != want;
}

int main(void) { return expect("1h2m", 3720) + expect("90m", 5400); }
`,
  },
  setup: [],
  gates: ['check', 'test'],
  fix: [
    { replace: { path: 'parse.c', find: "amount = *text - '0'", with: "amount = amount * 10 + (*text - '0')" } },
    { shell: 'make test' },
    { say: 'Digits add up to one amount now.' },
  ],
}

export const ecosystems: readonly Ecosystem[] = [npm, pnpm, python, go, rust, c]
