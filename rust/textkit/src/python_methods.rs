//! Python's methods of str, bytes, list, tuple and dict, as templates call them. What would change a value fails, as
//! it does in the sandbox that templates are written for.

use minijinja::value::{from_args, Kwargs, Rest, Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use crate::python_format::str_format;
use crate::python_repr::{is_printable, python_str};

/// No method makes a longer string.
const MAX_RESULT_BYTES: usize = 64 << 20;

pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Arguments of one call, bound to parameter names.
pub struct Arguments(Vec<Option<Value>>);

impl Arguments {
    pub fn bind(function: &str, arguments: &[Value], names: &[&str]) -> Result<Arguments, Error> {
        let (positional, named): (Rest<Value>, Kwargs) = from_args(arguments)?;
        Arguments::of(function, positional, named, names)
    }

    pub fn of(function: &str, positional: Rest<Value>, named: Kwargs, names: &[&str]) -> Result<Arguments, Error> {
        if positional.0.len() > names.len() {
            return Err(Error::new(
                ErrorKind::TooManyArguments,
                format!("{function} takes at most {} arguments, got {}", names.len(), positional.0.len()),
            ));
        }
        let mut bound: Vec<Option<Value>> = positional.0.into_iter().map(Some).collect();
        bound.resize(names.len(), None);
        for name in named.args() {
            let index = names
                .iter()
                .position(|known| *known == name)
                .ok_or_else(|| invalid(format!("{function} has no argument '{name}'")))?;
            if bound[index].is_some() {
                return Err(invalid(format!("{function} got argument '{name}' twice")));
            }
            bound[index] = Some(named.peek::<Value>(name)?);
        }
        Ok(Arguments(bound))
    }

    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index).and_then(Option::as_ref)
    }

    /// A string that must be there.
    fn text(&self, index: usize) -> Result<&str, Error> {
        let value = self.get(index).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
        value.as_str().ok_or_else(|| invalid(format!("expected a string, got {}", value.kind())))
    }

    /// A string, or nothing if absent or None.
    fn optional_text(&self, index: usize) -> Result<Option<&str>, Error> {
        match self.get(index) {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(_) => self.text(index).map(Some),
        }
    }

    pub fn integer(&self, index: usize, default: i64) -> Result<i64, Error> {
        match self.get(index) {
            None => Ok(default),
            Some(value) if value.is_none() => Ok(default),
            Some(value) => value
                .as_i64()
                .filter(|_| value.is_integer() || value.kind() == ValueKind::Bool)
                .ok_or_else(|| invalid(format!("expected an integer, got {}", value.kind()))),
        }
    }
}

/// Called for a method that the value itself does not have.
pub fn call(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => string_method(state, value, method, arguments),
        ValueKind::Bytes => bytes_method(value, method, arguments),
        ValueKind::Map => map_method(value, method, arguments),
        ValueKind::Seq => sequence_method(value, method, arguments),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn checked(bytes: usize) -> Result<usize, Error> {
    if bytes > MAX_RESULT_BYTES {
        return Err(invalid(format!("result of {bytes} bytes is over the limit of {MAX_RESULT_BYTES}")));
    }
    Ok(bytes)
}

pub fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn string_method(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let text = value.as_str().ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    if let Some(result) = string_predicate(text, method) {
        let () = from_args(arguments)?;
        return Ok(Value::from(result));
    }
    let bind = |names: &[&str]| Arguments::bind(method, arguments, names);
    Ok(match method {
        "upper" | "lower" | "casefold" | "swapcase" | "capitalize" | "title" => {
            let () = from_args(arguments)?;
            Value::from(change_case(text, method))
        }
        "strip" | "lstrip" | "rstrip" => {
            let arguments = bind(&["chars"])?;
            let set: Option<Vec<char>> = arguments.optional_text(0)?.map(|chars| chars.chars().collect());
            let unwanted = |c: char| set.as_ref().map_or_else(|| is_python_space(c), |set| set.contains(&c));
            Value::from(match method {
                "strip" => text.trim_matches(unwanted),
                "lstrip" => text.trim_start_matches(unwanted),
                _ => text.trim_end_matches(unwanted),
            })
        }
        "removeprefix" => Value::from(text.strip_prefix(bind(&["prefix"])?.text(0)?).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(bind(&["suffix"])?.text(0)?).unwrap_or(text)),
        "replace" => replace(text, &bind(&["old", "new", "count"])?)?,
        "split" | "rsplit" => split(text, &bind(&["sep", "maxsplit"])?, method == "rsplit")?,
        "splitlines" => {
            let keep = bind(&["keepends"])?.get(0).is_some_and(Value::is_true);
            Value::from(split_lines(text, keep))
        }
        "partition" | "rpartition" => partition(text, bind(&["sep"])?.text(0)?, method == "rpartition")?,
        "startswith" | "endswith" => has_affix(text, &bind(&["prefix", "start", "end"])?, method == "startswith")?,
        "find" | "rfind" | "index" | "rindex" | "count" => search(text, method, &bind(&["sub", "start", "end"])?)?,
        "join" => join(text, bind(&["iterable"])?.get(0))?,
        "zfill" => {
            let width = width_of(text, &bind(&["width"])?)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text),
            };
            Value::from(format!("{sign}{}{digits}", "0".repeat(width)))
        }
        "center" | "ljust" | "rjust" => justify(text, method, &bind(&["width", "fillchar"])?)?,
        "expandtabs" => Value::from(expand_tabs(text, bind(&["tabsize"])?.integer(0, 8)?)?),
        "encode" => {
            bind(&["encoding", "errors"])?;
            Value::from_bytes(text.as_bytes().to_vec())
        }
        "format" => Value::from(str_format(text, arguments)?),
        _ => return minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments),
    })
}

fn string_predicate(text: &str, method: &str) -> Option<bool> {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    let cased =
        |wanted: fn(char) -> bool, other: fn(char) -> bool| text.chars().any(wanted) && !text.chars().any(other);
    Some(match method {
        "isspace" => all(is_python_space),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isascii" => text.is_ascii(),
        "isnumeric" => all(char::is_numeric),
        "isdigit" => all(|c| c.is_numeric() && !is_fraction_or_letter_number(c)),
        "isdecimal" => all(|c| c.is_numeric() && !is_fraction_or_letter_number(c) && !is_super_or_circled(c)),
        "isprintable" => text.chars().all(is_printable),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "istitle" => text.chars().any(char::is_alphabetic) && change_case(text, "title") == text,
        "isidentifier" => {
            text.chars().next().is_some_and(|c| c == '_' || c.is_alphabetic())
                && text.chars().all(|c| c == '_' || c.is_alphanumeric())
        }
        _ => return None,
    })
}

fn is_fraction_or_letter_number(c: char) -> bool {
    matches!(u32::from(c), 0xBC..=0xBE | 0x9F4..=0x9F9 | 0x2150..=0x218B | 0x2469..=0x2473 | 0x3007 | 0x3021..=0x3029)
}

fn is_super_or_circled(c: char) -> bool {
    matches!(u32::from(c), 0xB2 | 0xB3 | 0xB9 | 0x2070..=0x2089 | 0x2460..=0x249B | 0x24EA..=0x24FF | 0x2776..=0x2793)
}

fn change_case(text: &str, method: &str) -> String {
    match method {
        "upper" => text.to_uppercase(),
        "lower" => text.to_lowercase(),
        "casefold" => text.to_lowercase().replace('ß', "ss"),
        "capitalize" => {
            let mut rest = text.chars();
            match rest.next() {
                Some(first) => first.to_uppercase().collect::<String>() + &rest.as_str().to_lowercase(),
                None => String::new(),
            }
        }
        _ => {
            let mut out = String::with_capacity(text.len());
            let mut in_word = false;
            for c in text.chars() {
                let upper = if method == "title" { !in_word } else { c.is_lowercase() };
                if upper {
                    out.extend(c.to_uppercase());
                } else {
                    out.extend(c.to_lowercase());
                }
                in_word = c.is_alphabetic();
            }
            out
        }
    }
}

fn replace(text: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (old, new) = (arguments.text(0)?, arguments.text(1)?);
    let count = arguments.integer(2, -1)?;
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    if new.len() > old.len() {
        let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
        checked(text.len().saturating_add(found.min(limit).saturating_mul(new.len() - old.len())))?;
    }
    Ok(Value::from(text.replacen(old, new, limit)))
}

fn split(text: &str, arguments: &Arguments, from_right: bool) -> Result<Value, Error> {
    let limit = usize::try_from(arguments.integer(1, -1)?).unwrap_or(usize::MAX);
    let parts: Vec<Value> = match arguments.optional_text(0)? {
        Some("") => return Err(invalid("empty separator")),
        Some(separator) if from_right => {
            let mut parts: Vec<Value> =
                text.rsplitn(limit.saturating_add(1), separator).map(Value::from).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(limit.saturating_add(1), separator).map(Value::from).collect(),
        None if from_right => split_space_from_right(text, limit),
        None => split_space(text, limit),
    };
    Ok(Value::from(parts))
}

fn split_space(text: &str, limit: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_python_space);
    while !rest.is_empty() {
        let end = if parts.len() == limit { None } else { rest.find(is_python_space) };
        match end {
            Some(end) => {
                parts.push(Value::from(&rest[..end]));
                rest = rest[end..].trim_start_matches(is_python_space);
            }
            None => {
                parts.push(Value::from(rest));
                break;
            }
        }
    }
    parts
}

fn split_space_from_right(text: &str, limit: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_python_space);
    while !rest.is_empty() {
        let start =
            if parts.len() == limit { None } else { rest.char_indices().rev().find(|(_, c)| is_python_space(*c)) };
        match start {
            Some((start, c)) => {
                parts.push(Value::from(&rest[start + c.len_utf8()..]));
                rest = rest[..start].trim_end_matches(is_python_space);
            }
            None => {
                parts.push(Value::from(rest));
                break;
            }
        }
    }
    parts.reverse();
    parts
}

fn split_lines(text: &str, keep_ends: bool) -> Vec<Value> {
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((start, c)) = rest.char_indices().find(|(_, c)| is_end(*c)) {
        let end = start + if rest[start..].starts_with("\r\n") { 2 } else { c.len_utf8() };
        lines.push(Value::from(&rest[..if keep_ends { end } else { start }]));
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        lines.push(Value::from(rest));
    }
    lines
}

fn partition(text: &str, separator: &str, from_right: bool) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    let found = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match found {
        Some((before, after)) => [before, separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

/// The part of `text` between character positions as a slice has them, and the start's position.
fn slice<'a>(text: &'a str, arguments: &Arguments) -> Result<(&'a str, i64), Error> {
    if arguments.get(1).is_none() && arguments.get(2).is_none() {
        return Ok((text, 0));
    }
    let length = text.chars().count() as i64;
    let place = |index: i64| if index < 0 { (index + length).max(0) } else { index.min(length) };
    let (start, end) = (place(arguments.integer(1, 0)?), place(arguments.integer(2, length)?));
    let byte = |index: i64| text.char_indices().nth(index as usize).map_or(text.len(), |(byte, _)| byte);
    Ok((if start <= end { &text[byte(start)..byte(end)] } else { "" }, start))
}

fn has_affix(text: &str, arguments: &Arguments, at_start: bool) -> Result<Value, Error> {
    let (text, _) = slice(text, arguments)?;
    let matches = |affix: &str| if at_start { text.starts_with(affix) } else { text.ends_with(affix) };
    let affix = arguments.get(0).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    if let Some(affix) = affix.as_str() {
        return Ok(Value::from(matches(affix)));
    }
    if !affix.is_tuple() {
        return Err(invalid(format!("expected a string or a tuple of strings, got {}", affix.kind())));
    }
    for item in affix.try_iter()? {
        let item = item.as_str().ok_or_else(|| invalid("expected a tuple of strings"))?.to_string();
        if matches(&item) {
            return Ok(Value::from(true));
        }
    }
    Ok(Value::from(false))
}

fn search(text: &str, method: &str, arguments: &Arguments) -> Result<Value, Error> {
    let wanted = arguments.text(0)?;
    let (text, start) = slice(text, arguments)?;
    if method == "count" {
        let count = if wanted.is_empty() { text.chars().count() + 1 } else { text.matches(wanted).count() };
        return Ok(Value::from(count));
    }
    let found = if method.starts_with('r') { text.rfind(wanted) } else { text.find(wanted) };
    match found {
        Some(byte) => Ok(Value::from(start + text[..byte].chars().count() as i64)),
        None if method.ends_with("index") => Err(invalid("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

fn join(separator: &str, items: Option<&Value>) -> Result<Value, Error> {
    let items = items.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        let text = item
            .as_str()
            .ok_or_else(|| invalid(format!("sequence item {index}: expected a string, got {}", item.kind())))?;
        checked(out.len() + separator.len() + text.len())?;
        out.push_str(text);
    }
    Ok(Value::from(out))
}

/// How many characters are missing to the wanted width.
fn width_of(text: &str, arguments: &Arguments) -> Result<usize, Error> {
    arguments.get(0).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let width = usize::try_from(arguments.integer(0, 0)?).unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    checked(missing.saturating_mul(4))?;
    Ok(missing)
}

fn justify(text: &str, method: &str, arguments: &Arguments) -> Result<Value, Error> {
    let missing = width_of(text, arguments)?;
    let fill = arguments.optional_text(1)?.unwrap_or(" ");
    if fill.chars().count() != 1 {
        return Err(invalid("the fill character must be exactly one character long"));
    }
    let left = match method {
        "ljust" => 0,
        "rjust" => missing,
        // Python puts the odd one on the left only if the width is odd too.
        _ => missing / 2 + (missing & (missing + text.chars().count()) & 1),
    };
    Ok(Value::from(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))))
}

fn expand_tabs(text: &str, size: i64) -> Result<String, Error> {
    let size = usize::try_from(size).unwrap_or(0).min(1 << 16);
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                checked(out.len() + spaces)?;
                out.push_str(&" ".repeat(spaces));
                column += spaces;
            }
            _ => {
                out.push(c);
                column = if c == '\n' || c == '\r' { 0 } else { column + 1 };
            }
        }
    }
    Ok(out)
}

fn bytes_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let bytes = value.as_bytes().unwrap_or_default();
    match method {
        "decode" => {
            Arguments::bind(method, arguments, &["encoding", "errors"])?;
            let text = std::str::from_utf8(bytes).map_err(|_| invalid("bytes are not valid UTF-8"))?;
            Ok(Value::from(text))
        }
        "hex" => {
            let () = from_args(arguments)?;
            Ok(Value::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn map_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let object = value.as_object().ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    match method {
        "get" => {
            let arguments = Arguments::bind(method, arguments, &["key", "default"])?;
            let key = arguments.get(0).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            let fallback = || arguments.get(1).cloned().unwrap_or_else(|| Value::from(()));
            Ok(object.get_value(key).unwrap_or_else(fallback))
        }
        "keys" | "values" | "items" => {
            let () = from_args(arguments)?;
            let pairs = object.try_iter_pairs().into_iter().flatten();
            Ok(Value::from(match method {
                "keys" => pairs.map(|(key, _)| key).collect::<Vec<_>>(),
                "values" => pairs.map(|(_, item)| item).collect(),
                _ => pairs.map(|(key, item)| Value::from(Tuple::from([key, item]))).collect(),
            }))
        }
        "copy" => {
            let () = from_args(arguments)?;
            Ok(Value::from_pairs(object.try_iter_pairs().into_iter().flatten()))
        }
        "pop" | "popitem" | "update" | "setdefault" | "clear" => Err(unsafe_method("dict", method)),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn sequence_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match method {
        "count" => {
            let arguments = Arguments::bind(method, arguments, &["value"])?;
            let wanted = arguments.get(0).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            Ok(Value::from(value.try_iter()?.filter(|item| item == wanted).count()))
        }
        "index" => {
            let arguments = Arguments::bind(method, arguments, &["value", "start", "end"])?;
            let wanted = arguments.get(0).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            let length = value.len().unwrap_or(0) as i64;
            let place = |index: i64| if index < 0 { (index + length).max(0) } else { index };
            let (start, end) = (place(arguments.integer(1, 0)?), place(arguments.integer(2, length)?));
            let found = value
                .try_iter()?
                .enumerate()
                .find(|(index, item)| (start..end).contains(&(*index as i64)) && item == wanted);
            match found {
                Some((index, _)) => Ok(Value::from(index)),
                None => Err(invalid(format!("{} is not in the list", python_str(wanted)?))),
            }
        }
        "copy" if !value.is_tuple() => {
            let () = from_args(arguments)?;
            Ok(Value::from(value.try_iter()?.collect::<Vec<Value>>()))
        }
        "append" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort" | "clear" if !value.is_tuple() => {
            Err(unsafe_method("list", method))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn unsafe_method(kind: &str, method: &str) -> Error {
    invalid(format!("{kind}.{method} would change a value, which templates may not do; build a new one instead"))
}
