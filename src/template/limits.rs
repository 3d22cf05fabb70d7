//! What an expression, path or pattern must keep before a parser sees it.
//!
//! The parsers recurse: what is long or deep enough overflows their stack, which ends the whole process. So length and
//! nesting are counted first, by a loop.

/// The longest expression, path or pattern in bytes.
pub const MAX_BYTES: usize = 2_000;

/// The deepest nesting of brackets in one.
pub const MAX_NESTING: usize = 16;

/// Longer or deeper than a parser may see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_BYTES`].
    #[error("has {bytes} bytes; at most {MAX_BYTES} are allowed")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// More than [`MAX_NESTING`].
    #[error("its brackets and prefixes nest deeper than {MAX_NESTING} levels")]
    TooDeep,
    /// The system gave no thread to parse it on, or the parser panicked there.
    #[error("it could not be parsed: {0}")]
    NotParsed(String),
}

impl Error {
    /// For programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "EXPRESSION_TOO_LONG",
            Self::TooDeep => "EXPRESSION_TOO_DEEP",
            Self::NotParsed(_) => "EXPRESSION_NOT_PARSED",
        }
    }
}

/// Checks an expression or path, in which quotes hide brackets.
///
/// Prefixes (`!!!x`, `- - x`, `not not x`) and `? :` nest like brackets do, so runs of them count too.
///
/// # Errors
///
/// Too long or too deep.
pub fn check_expression(text: &str) -> Result<(), Error> {
    check_length(text)?;
    let mut depth: usize = 0;
    let mut prefixes: usize = 0;
    let mut conditions: usize = 0;
    let mut quote = None;
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if let Some(end) = quote {
            if character == '\\' {
                characters.next();
            } else if character == end {
                quote = None;
            }
            continue;
        }
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
            continue;
        }
        match word.as_str() {
            "" => {}
            "not" => prefixes += 1,
            "if" | "else" => conditions += 1,
            _ => prefixes = 0,
        }
        word.clear();
        match character {
            '\'' | '"' => quote = Some(character),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '!' | '-' | '+' | '~' => prefixes += 1,
            '?' => conditions += 1,
            _ => {}
        }
        // `a ? b : c ? …` and `a if b else c if …` nest to the right; two words make one condition of the latter.
        if depth > MAX_NESTING || prefixes > MAX_NESTING || conditions > 2 * MAX_NESTING {
            return Err(Error::TooDeep);
        }
    }
    Ok(())
}

/// Checks a regular expression, in which `\` hides brackets and a class hides parentheses.
///
/// # Errors
///
/// Too long or too deep.
pub fn check_pattern(pattern: &str) -> Result<(), Error> {
    check_length(pattern)?;
    let mut depth: usize = 0;
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(Error::TooDeep);
        }
    }
    Ok(())
}

/// Runs a parser on a thread with a stack like those of [`crate::cpu::Cpu`].
///
/// What the limits let through takes parsers up to 4 MiB of stack in a debug build, ordinary threads have 2. A thread
/// costs some 50 µs, which is nothing beside such an expression, and each is parsed once.
///
/// # Errors
///
/// [`Error::NotParsed`].
pub fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    const STACK_BYTES: usize = 16 * 1024 * 1024;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("synapps-parser".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::NotParsed(error.to_string()))?
            .join()
            .map_err(|_| Error::NotParsed("the parser panicked".to_owned()))
    })
}

/// Checks the length alone, which is all that matters for dotted paths.
///
/// # Errors
///
/// Too long.
pub const fn check_length(text: &str) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooLong { bytes: text.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_the_last_that_is_allowed() {
        assert_eq!(check_expression(&"a".repeat(2_000)), Ok(()));
        assert_eq!(
            check_expression(&"a".repeat(2_001)),
            Err(Error::TooLong { bytes: 2_001 })
        );
        let nested = |depth| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(check_expression(&nested(16)), Ok(()));
        assert_eq!(check_expression(&nested(17)), Err(Error::TooDeep));
        assert_eq!(check_pattern(&nested(16)), Ok(()));
        assert_eq!(check_pattern(&nested(17)), Err(Error::TooDeep));
    }

    #[test]
    fn quotes_and_classes_hide_brackets() {
        assert_eq!(check_expression(&format!("'{}'", "(".repeat(100))), Ok(()));
        assert_eq!(check_pattern(&format!("[{}]", "(".repeat(100))), Ok(()));
        assert_eq!(check_pattern(&r"\(".repeat(100)), Ok(()));
    }

    #[test]
    fn chains_of_prefixes_and_conditions_nest() {
        assert_eq!(check_expression(&"!".repeat(17)), Err(Error::TooDeep));
        assert_eq!(check_expression(&"not ".repeat(18)), Err(Error::TooDeep));
        assert_eq!(
            check_expression(&"a ? b : ".repeat(40)),
            Err(Error::TooDeep)
        );
        assert_eq!(check_expression(&"a - b + ".repeat(100)), Ok(()));
    }
}
