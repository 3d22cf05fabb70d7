//! Regular expressions in Python's dialect, with a limit on backtracking.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use fancy_regex::{Regex, RegexBuilder};

use super::Error;
use super::python::{self, Dollar, Piece};
use crate::template::limits;

/// Steps that one search may go back over.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// Memory that a compiled pattern may take, in bytes, each for the automaton and for its cache.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;

/// What the flags `i m s x` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    verbose: bool,
}

impl Flags {
    /// Reads flags; each may stand more than once.
    ///
    /// # Errors
    ///
    /// Any other letter.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut flags = Self::default();
        for letter in text.chars() {
            match letter {
                'i' => flags.ignore_case = true,
                'm' => flags.multi_line = true,
                's' => flags.dot_all = true,
                'x' => flags.verbose = true,
                other => {
                    return Err(Error::Syntax {
                        what: "flags",
                        message: format!("{other:?} is none of i, m, s and x"),
                    });
                }
            }
        }
        Ok(flags)
    }
}

/// A compiled pattern; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pattern {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    text: String,
    flags: Flags,
    regex: Regex,
    /// Whether `$` in it can mean "before the last line feed".
    is_dollar_pythonic: bool,
    /// The same pattern with that meaning: only needed for texts that end with a line feed, and slower.
    with_line_feed: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// Empty, too long, too deep, not a pattern, unknown flags.
    pub fn parse(text: &str, flags: &str) -> Result<Self, Error> {
        let flags = Flags::parse(flags)?;
        if text.is_empty() {
            return Err(Error::Syntax {
                what: "regular expression",
                message: "it is empty".to_owned(),
            });
        }
        limits::check_pattern(text)?;
        let translated = python::translate(text, flags.verbose, Dollar::Plain);
        let regex = build(&translated.pattern, flags).map_err(|message| Error::Syntax {
            what: "regular expression",
            message,
        })?;
        // Flags inside the pattern may say `m` for a part of it: there `$` stays as it is.
        let has_inner_flags = text.contains("(?m") || text.contains("(?i") || text.contains("(?s");
        let is_dollar_pythonic = translated.has_dollar && !flags.multi_line && !has_inner_flags;
        Ok(Self {
            shared: Arc::new(Shared {
                text: text.to_owned(),
                flags,
                regex,
                is_dollar_pythonic,
                with_line_feed: OnceLock::new(),
            }),
        })
    }

    fn regex_for(&self, text: &str) -> &Regex {
        let shared = &self.shared;
        if !shared.is_dollar_pythonic || !text.ends_with('\n') {
            return &shared.regex;
        }
        let with_line_feed = shared.with_line_feed.get_or_init(|| {
            let dollar = Dollar::BeforeLastLineFeed;
            let translated = python::translate(&shared.text, shared.flags.verbose, dollar);
            build(&translated.pattern, shared.flags).ok()
        });
        with_line_feed.as_ref().unwrap_or(&shared.regex)
    }

    /// Whether it matches somewhere.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`] where it backtracks too much.
    pub fn is_match(&self, text: &str) -> Result<bool, Error> {
        self.regex_for(text)
            .is_match(text)
            .map_err(|error| failed(&error))
    }

    /// Reads what is to stand for the matches.
    ///
    /// # Errors
    ///
    /// A group that the pattern has not, an escape that Python refuses.
    pub fn replacement(&self, text: &str) -> Result<Replacement, Error> {
        let names: Vec<_> = self.shared.regex.capture_names().collect();
        python::replacement(text, &names)
            .map(|pieces| Replacement { pieces })
            .map_err(|message| Error::Syntax {
                what: "replacement",
                message,
            })
    }

    /// Replaces the first `count` matches, all if it is 0.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`] where it backtracks too much or `deadline` has passed, [`Error::TooLarge`].
    pub fn replace(
        &self,
        text: &str,
        replacement: &Replacement,
        count: usize,
        deadline: Instant,
        max_bytes: u64,
    ) -> Result<String, Error> {
        let regex = self.regex_for(text);
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut from, mut done) = (0, 0, 0);
        while from <= text.len() && (count == 0 || done < count) {
            let Some(captures) = regex
                .captures_from_pos(text, from)
                .map_err(|error| failed(&error))?
            else {
                break;
            };
            let whole = captures
                .get(0)
                .expect("group 0 is the match and always there");
            out.push_str(&text[copied..whole.start()]);
            for piece in &replacement.pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(group) => {
                        out.push_str(captures.get(*group).map_or("", |group| group.as_str()));
                    }
                }
            }
            if (out.len() + text.len() - whole.end()) as u64 > max_bytes {
                return Err(Error::TooLarge { bound: max_bytes });
            }
            done += 1;
            copied = whole.end();
            // An empty match may follow a match that was not, but no empty one at the same place.
            from = if whole.start() == whole.end() {
                whole.end() + text[whole.end()..].chars().next().map_or(1, char::len_utf8)
            } else {
                whole.end()
            };
            if done % 1_024 == 0 && Instant::now() > deadline {
                return Err(Error::TooExpensive {
                    message: format!("time was up after {done} replacements"),
                });
            }
        }
        out.push_str(&text[copied..]);
        Ok(out)
    }
}

/// What is to stand for a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    pieces: Vec<Piece>,
}

fn build(pattern: &str, flags: Flags) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .verbose_mode(flags.verbose)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(SIZE_LIMIT)
        .delegate_dfa_size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| error.to_string())
}

fn failed(error: &fancy_regex::Error) -> Error {
    Error::TooExpensive {
        message: format!("the regular expression gave up: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn replace(text: &str, pattern: &str, with: &str, flags: &str, count: usize) -> String {
        let pattern = Pattern::parse(pattern, flags).unwrap();
        let with = pattern.replacement(with).unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        pattern
            .replace(text, &with, count, deadline, 1_000)
            .unwrap()
    }

    #[test]
    fn replacing_follows_python() {
        assert_eq!(
            replace("The quick", r"(\w+) (\w+)", r"\2 \1", "", 0),
            "quick The"
        );
        assert_eq!(replace("aaa", "a", "b", "", 2), "bba");
        assert_eq!(replace("abxd", "x*", "-", "", 0), "-a-b--d-");
        assert_eq!(replace("éé", "(?:)", "-", "", 0), "-é-é-");
        assert_eq!(
            replace("a1", r"(?P<l>[a-z])(\d)?(z)?", r"\g<2>\g<l>\3", "", 0),
            "1a"
        );
        assert_eq!(replace("aXa", "x", "", "i", 0), "aa");
        assert_eq!(replace("a\nb", "a.b", "-", "s", 0), "-");
        assert_eq!(replace("a\nb", "^", ">", "m", 0), ">a\n>b");
        assert_eq!(replace("a b", r"a \  b # both", "-", "x", 0), "-");
        assert_eq!(replace("abab", r"(ab)\1", "-", "", 0), "-");
        assert_eq!(replace("ab", "a(?=b)", "-", "", 0), "-b");
    }

    #[test]
    fn the_dollar_is_pythons() {
        let matches = |text, pattern| Pattern::parse(pattern, "").unwrap().is_match(text).unwrap();

        assert!(matches("fox\n", "fox$"));
        assert!(matches("fox", "fox$"));
        assert!(!matches("fox\n\n", "fox$"));
        assert!(!matches("fox\n", r"fox\Z"));
        assert_eq!(replace("a\n", "$", "-", "", 0), "a-\n-");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (pattern, flags) in [("", ""), ("(", ""), ("a", "q"), ("[", ""), ("*a", "")] {
            assert!(Pattern::parse(pattern, flags).is_err(), "{pattern} {flags}");
        }
        assert!(Pattern::parse(&"a".repeat(2_001), "").is_err());
        assert!(Pattern::parse(&"(".repeat(17), "").is_err());
        assert!(Pattern::parse("(a{1000}){1000}", "").is_err());
    }

    #[test]
    fn backtracking_ends() {
        let pattern = Pattern::parse(r"((?:x|x)+)\1+y", "").unwrap();

        let result = pattern.is_match(&format!("y{}", "x".repeat(50)));

        assert!(
            matches!(result, Err(Error::TooExpensive { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn replacing_is_bounded_in_size() {
        let pattern = Pattern::parse("a", "").unwrap();
        let with = pattern.replacement(&"b".repeat(100)).unwrap();

        let result = pattern.replace(
            &"a".repeat(50),
            &with,
            0,
            Instant::now() + Duration::from_secs(9),
            4_000,
        );

        assert_eq!(result, Err(Error::TooLarge { bound: 4_000 }));
    }

    #[test]
    fn hostile_patterns_do_not_overflow_the_stack() {
        let hostile = [
            format!("{}a{}", "(".repeat(16), ")".repeat(16)),
            format!("{}a{}", "(?:".repeat(16), ")*".repeat(16)),
            format!("{}a{}", "(?=".repeat(16), ")".repeat(16)),
            "a|".repeat(990),
            "a?".repeat(990),
            "(?i)".repeat(490),
            "[".repeat(1_990),
            format!("[{}", "a[".repeat(990)),
        ];
        let test = move || {
            for pattern in hostile {
                drop(Pattern::parse(&pattern, "").map(|pattern| pattern.is_match("aaaa")));
            }
        };
        std::thread::Builder::new()
            .stack_size(512 * 1024)
            .spawn(test)
            .unwrap()
            .join()
            .unwrap();
    }

    proptest! {
        #[test]
        fn compiling_and_replacing_never_panics(
            pattern in "[a-c.*+?()\\[\\]{}|^$\\\\0-9é,&~ -]{0,20}", with in "[a\\\\0-9g<>n]{0,8}", text in "[a-cé\n]{0,12}",
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern, "") {
                drop(pattern.is_match(&text));
                if let Ok(with) = pattern.replacement(&with) {
                    drop(pattern.replace(&text, &with, 0, Instant::now() + Duration::from_secs(9), 10_000));
                }
            }
        }
    }
}
