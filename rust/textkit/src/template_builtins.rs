//! Filters, tests and functions that chat templates expect beyond what the template engine brings, with the
//! behaviour that transformers gives them.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

use minijinja::value::{from_args, Kwargs, Object, ObjectRepr, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::python_format::percent;
use crate::python_json::tojson;
use crate::python_methods::{invalid, Arguments};
use crate::python_repr::{python_repr, python_str};
use crate::python_time::{strftime, Moment};
use crate::template_source::PERCENT_FUNCTION;

/// The message of raise_exception, to be told from the engine's own errors.
#[derive(Debug)]
pub struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

const MAX_INDENTED_BYTES: usize = 64 << 20;

thread_local! {
    /// What strftime_now prints in the rendering that runs on this thread.
    static NOW: Cell<Moment> = const { Cell::new(Moment { unix_seconds: 0, utc_offset_seconds: 0 }) };
}

pub fn set_now(moment: Moment) {
    NOW.with(|now| now.set(moment));
}

pub fn install(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: &str| strftime(NOW.with(Cell::get), format));
    environment.add_function(PERCENT_FUNCTION, |left: &Value, right: &Value| percent(left, right));
    environment.add_function("cycler", cycler);
    environment.add_function("joiner", joiner);

    // The engine's own ones walk values of any depth without charging for it, and no template may print them.
    environment.remove_global("debug");
    environment.add_filter("pprint", |value: &Value| python_repr(value));
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", string);
    environment.add_filter("list", list);
    environment.add_filter("wordcount", |text: &str| count_words(text));
    environment.add_filter("truncate", truncate);
    environment.add_filter(
        "center",
        |state: &mut State, value: &Value, positional: Rest<Value>, named: Kwargs| {
            let arguments = Arguments::of("center", positional, named, &["width"])?;
            let width = Value::from(arguments.integer(0, 80)?);
            Value::from(python_str(value)?).call_method(state, "center", &[width])
        },
    );
    environment.add_filter("xmlattr", xmlattr);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("forceescape", |value: &Value| {
        Ok::<_, Error>(Value::from_safe_string(escape_html(&python_str(value)?)))
    });
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("indent", indent);

    environment.add_test("callable", |value: &Value| is_callable(value));
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Bytes)
    });
    environment.add_test("iterable", |value: &Value| {
        use ValueKind::{Bytes, Iterable, Map, Seq, String, Undefined};
        matches!(value.kind(), Bytes | Iterable | Map | Seq | String | Undefined)
    });
    environment.add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool));
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    let message = python_str(message)?;
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn string(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.clone()),
        _ => Ok(Value::from(python_str(value)?)),
    }
}

/// Text that is already escaped stays.
fn escape(value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    Ok(Value::from_safe_string(escape_html(&python_str(value)?)))
}

fn default(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Arguments::of("default", positional, named, &["default_value", "boolean"])?;
    let boolean = arguments.get(1).is_some_and(Value::is_true);
    if value.is_undefined() || (boolean && !value.is_true()) {
        return Ok(arguments.get(0).cloned().unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

/// int(value), else int(float(value)), else the default.
fn int(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Arguments::of("int", positional, named, &["default", "base"])?;
    let base = u32::try_from(arguments.integer(1, 10)?).ok().filter(|base| (2..=36).contains(base));
    let number = match value.kind() {
        ValueKind::Bool => return Ok(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default().trim().replace('_', "").to_lowercase();
            let digits = match base {
                Some(16) => text.trim_start_matches("0x"),
                Some(8) => text.trim_start_matches("0o"),
                Some(2) => text.trim_start_matches("0b"),
                _ => &text,
            };
            if let Some(number) = base.and_then(|base| i64::from_str_radix(digits, base).ok()) {
                return Ok(Value::from(number));
            }
            text.parse().ok()
        }
        _ => None,
    };
    Ok(match number.filter(|number: &f64| number.is_finite() && number.abs() < 1e18) {
        Some(number) => Value::from(number.trunc() as i64),
        None => arguments.get(0).cloned().unwrap_or_else(|| Value::from(0)),
    })
}

fn float(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Arguments::of("float", positional, named, &["default"])?;
    let number = match value.kind() {
        ValueKind::Bool => Some(if value.is_true() { 1.0 } else { 0.0 }),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => value.as_str().unwrap_or_default().trim().replace('_', "").parse().ok(),
        _ => None,
    };
    Ok(number.map_or_else(|| arguments.get(0).cloned().unwrap_or_else(|| Value::from(0.0)), Value::from))
}

fn indent(text: &str, positional: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let arguments = Arguments::of("indent", positional, named, &["width", "first", "blank"])?;
    let indentation = match arguments.get(0).and_then(Value::as_str) {
        Some(text) => text.to_string(),
        None => " ".repeat(usize::try_from(arguments.integer(0, 4)?).unwrap_or(0).min(1 << 12)),
    };
    let blank = arguments.get(2).is_some_and(Value::is_true);
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let wanted =
            if index == 0 { arguments.get(1).is_some_and(Value::is_true) } else { blank || !line.is_empty() };
        if wanted {
            out.push_str(&indentation);
        }
        out.push_str(line);
        if out.len() > MAX_INDENTED_BYTES {
            return Err(invalid("indented text is over the limit"));
        }
    }
    Ok(out)
}

/// An undefined value is an empty sequence.
fn list(value: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    Ok(Value::from(value.try_iter()?.collect::<Vec<Value>>()))
}

/// Functions and macros are objects without items; so are namespaces and loops, which have their own kinds.
fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain
        || value.as_object().is_some_and(|object| {
            let name = object.type_name();
            name.contains("Macro") || name.contains("Function")
        })
}

/// Runs of letters, digits and underscores.
fn count_words(text: &str) -> usize {
    let mut count = 0;
    let mut in_word = false;
    for character in text.chars() {
        let part = character.is_alphanumeric() || character == '_';
        if part && !in_word {
            count += 1;
        }
        in_word = part;
    }
    count
}

fn truncate(text: &str, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Arguments::of("truncate", positional, named, &["length", "killwords", "end", "leeway"])?;
    let length =
        usize::try_from(arguments.integer(0, 255)?).map_err(|_| invalid("length must not be negative"))?;
    let leeway = usize::try_from(arguments.integer(3, 5)?).map_err(|_| invalid("leeway must not be negative"))?;
    let end = match arguments.get(2) {
        Some(end) => python_str(end)?,
        None => "...".to_string(),
    };
    let end_length = end.chars().count();
    if length < end_length {
        return Err(invalid(format!("expected length >= {end_length}, got {length}")));
    }
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let kept: String = text.chars().take(length - end_length).collect();
    if arguments.get(1).is_some_and(Value::is_true) {
        return Ok(Value::from(kept + &end));
    }
    let whole_words = kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words);
    Ok(Value::from(format!("{whole_words}{end}")))
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

fn xmlattr(map: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Arguments::of("xmlattr", positional, named, &["autospace"])?;
    if map.kind() != ValueKind::Map {
        return Err(invalid(format!("xmlattr needs a mapping, got {}", map.kind())));
    }
    let mut attributes = Vec::new();
    for key in map.try_iter()? {
        let item = map.get_item(&key)?;
        if item.is_none() || item.is_undefined() {
            continue;
        }
        let name = key.to_string();
        if name.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '>' | '=')) {
            return Err(invalid(format!("invalid character in attribute name: {name}")));
        }
        attributes.push(format!("{}=\"{}\"", escape_html(&name), escape_html(&python_str(&item)?)));
    }
    let joined = attributes.join(" ");
    let autospace = arguments.get(0).is_none_or(Value::is_true);
    Ok(Value::from(if autospace && !joined.is_empty() { format!(" {joined}") } else { joined }))
}

fn urlencode(value: &Value) -> Result<Value, Error> {
    let quote = |text: &str, keep_slash: bool| {
        let mut out = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(byte as char),
                b'/' if keep_slash => out.push('/'),
                b' ' if !keep_slash => out.push('+'),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let pairs: Vec<(Value, Value)> = match value.kind() {
        ValueKind::Map => value.as_object().and_then(|map| map.try_iter_pairs()).into_iter().flatten().collect(),
        ValueKind::Seq => value
            .try_iter()?
            .map(|pair| Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?)))
            .collect::<Result<_, Error>>()?,
        _ => return Ok(Value::from(quote(&python_str(value)?, true))),
    };
    let mut parts = Vec::new();
    for (key, item) in pairs {
        parts.push(format!("{}={}", quote(&python_str(&key)?, false), quote(&python_str(&item)?, false)));
    }
    Ok(Value::from(parts.join("&")))
}

#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    position: AtomicUsize,
}

impl Object for Cycler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current")).then(|| self.items[self.position.load(Ordering::Relaxed)].clone())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let () = from_args(arguments)?;
        match method {
            "next" => {
                let position = self.position.load(Ordering::Relaxed);
                self.position.store((position + 1) % self.items.len(), Ordering::Relaxed);
                Ok(self.items[position].clone())
            }
            "reset" => {
                self.position.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

fn cycler(items: Rest<Value>) -> Result<Value, Error> {
    if items.0.is_empty() {
        return Err(invalid("cycler needs at least one item"));
    }
    Ok(Value::from_object(Cycler { items: items.0, position: AtomicUsize::new(0) }))
}

#[derive(Debug)]
struct Joiner {
    separator: Value,
    used: AtomicBool,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let () = from_args(arguments)?;
        if self.used.swap(true, Ordering::Relaxed) {
            Ok(self.separator.clone())
        } else {
            Ok(Value::from(""))
        }
    }
}

fn joiner(separator: Option<Value>) -> Value {
    let separator = separator.unwrap_or_else(|| Value::from(", "));
    Value::from_object(Joiner { separator, used: AtomicBool::new(false) })
}
