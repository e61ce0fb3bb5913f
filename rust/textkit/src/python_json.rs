//! `tojson` as transformers defines it: json.dumps(x, ensure_ascii=False, indent=None, separators=None,
//! sort_keys=False), with nothing escaped for HTML.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::python_methods::Arguments;
use crate::python_repr::{is_float, python_float};

const MAX_DEPTH: usize = 200;
const MAX_PRINTED_BYTES: usize = 16 << 20;
const MAX_INDENT: usize = 64;

struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

pub fn tojson(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments =
        Arguments::of("tojson", positional, named, &["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = match arguments.get(1) {
        Some(indent) if !indent.is_none() => Some(match indent.as_str() {
            Some(text) => text.chars().take(MAX_INDENT).collect(),
            None => " ".repeat(i64::try_from(indent.clone())?.clamp(0, MAX_INDENT as i64) as usize),
        }),
        _ => None,
    };
    let mut style = Style {
        ensure_ascii: arguments.get(0).is_some_and(Value::is_true),
        item_separator: if indent.is_some() { ",".to_string() } else { ", ".to_string() },
        key_separator: ": ".to_string(),
        indent,
        sort_keys: arguments.get(3).is_some_and(Value::is_true),
    };
    if let Some(separators) = arguments.get(2).filter(|separators| !separators.is_none()) {
        let parts: Vec<Value> = separators.try_iter()?.collect();
        match (parts.len(), parts.first().and_then(Value::as_str), parts.get(1).and_then(Value::as_str)) {
            (2, Some(item), Some(key)) => {
                style.item_separator = item.to_string();
                style.key_separator = key.to_string();
            }
            _ => return Err(invalid("tojson: separators must be two strings")),
        }
    }
    let mut out = String::new();
    style.write(&mut out, value, 0)?;
    Ok(Value::from(out))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

impl Style {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid("tojson: value is nested too deeply"));
        }
        if out.len() > MAX_PRINTED_BYTES {
            return Err(invalid("tojson: value is too long"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if is_float(value) => out.push_str(&json_float(f64::try_from(value.clone())?)),
            ValueKind::Number => out.push_str(&value.to_string()),
            ValueKind::String => self.write_string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_items(out, depth, '[', ']', items.len(), |style, out, index| {
                    style.write(out, &items[index], depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.write_items(out, depth, '{', '}', keys.len(), |style, out, index| {
                    style.write_string(out, &key_text(&keys[index])?);
                    out.push_str(&style.key_separator);
                    style.write(out, &value.get_item(&keys[index])?, depth + 1)
                })?;
            }
            ValueKind::Undefined => return Err(invalid("tojson: an undefined value is not JSON serializable")),
            kind => return Err(invalid(format!("tojson: a value of type {kind} is not JSON serializable"))),
        }
        Ok(())
    }

    fn write_items(
        &self,
        out: &mut String,
        depth: usize,
        open: char,
        close: char,
        length: usize,
        mut write_item: impl FnMut(&Style, &mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for index in 0..length {
            if index > 0 {
                out.push_str(&self.item_separator);
            }
            self.write_line_start(out, depth + 1);
            write_item(self, out, index)?;
        }
        if length > 0 {
            self.write_line_start(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn write_line_start(&self, out: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            for _ in 0..depth {
                out.push_str(indent);
            }
        }
    }

    fn write_string(&self, out: &mut String, text: &str) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && !(' '..='~').contains(&c)) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_string(),
        ValueKind::None => "null".to_string(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_string(),
        ValueKind::Number if is_float(key) => json_float(f64::try_from(key.clone())?),
        ValueKind::Number => key.to_string(),
        kind => return Err(invalid(format!("tojson: a key of type {kind} is not JSON serializable"))),
    })
}

fn json_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_string();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_string() } else { "-Infinity".to_string() };
    }
    python_float(number)
}
