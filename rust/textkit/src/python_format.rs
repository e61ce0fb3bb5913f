//! `'…' % x` and `'…'.format(x)`, with their result bounded before it is made.

use minijinja::formatting::{format, FormatStyle};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::Error;

use crate::python_methods::invalid;
use crate::python_repr::{python_repr, python_str};

const MAX_RESULT_BYTES: usize = 64 << 20;

/// The `%` operator: formatting where the left side is a string, the remainder otherwise.
pub fn percent(left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let arguments: Vec<Value> = if right.is_tuple() {
            right.try_iter()?.collect()
        } else if right.kind() == ValueKind::Map && text.contains("%(") {
            let pairs = right.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten();
            let named: Kwargs =
                pairs.map(|(key, item)| Ok((key.to_string(), printable(&item)?))).collect::<Result<_, Error>>()?;
            vec![Value::from(named)]
        } else {
            vec![right.clone()]
        };
        let (text, arguments) = take_reprs(text, arguments)?;
        check_size(&text, '%', &arguments)?;
        return Ok(Value::from(format(FormatStyle::Printf, &text, &arguments)?));
    }
    remainder(left, right)
}

/// The engine knows no `%r`: its argument is printed first, and `%s` takes its place. Containers and floats are
/// printed as Python's str() prints them.
fn take_reprs(text: &str, mut arguments: Vec<Value>) -> Result<(String, Vec<Value>), Error> {
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(character);
        if character != '%' {
            continue;
        }
        for conversion in characters.by_ref() {
            match conversion {
                '%' => {}
                'r' | 'a' => {
                    if let Some(argument) = arguments.get_mut(index) {
                        *argument = Value::from(python_repr(argument)?);
                    }
                    index += 1;
                }
                c if c.is_ascii_alphabetic() => index += 1,
                c => {
                    out.push(c);
                    continue;
                }
            }
            out.push(if matches!(conversion, 'r' | 'a') { 's' } else { conversion });
            break;
        }
    }
    for argument in &mut arguments {
        if !argument.is_kwargs() {
            *argument = printable(argument)?;
        }
    }
    Ok((out, arguments))
}

/// `'…'.format(…)`.
pub fn str_format(text: &str, arguments: &[Value]) -> Result<String, Error> {
    check_size(text, '{', arguments)?;
    format(FormatStyle::StrFormat, text, arguments)
}

/// Containers and floats as Python's str() prints them; numbers and strings stay for their own conversions.
fn printable(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map => Ok(Value::from(python_str(value)?)),
        _ => Ok(value.clone()),
    }
}

/// Every field costs at most the widths and precisions written in the text plus the longest argument.
fn check_size(text: &str, field_mark: char, arguments: &[Value]) -> Result<(), Error> {
    let fields = text.matches(field_mark).count();
    let mut widths = 0_usize;
    let mut number = 0_usize;
    for byte in text.bytes().chain([b' ']) {
        if byte.is_ascii_digit() {
            number = number.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
        } else {
            widths = widths.saturating_add(number);
            number = 0;
        }
    }
    let mut longest = 64;
    if fields > 1 {
        for argument in arguments {
            let length = match argument.as_str() {
                Some(text) => text.len(),
                None if matches!(argument.kind(), ValueKind::Seq | ValueKind::Map) => python_str(argument)?.len(),
                None => 64,
            };
            longest = longest.max(length);
        }
    }
    let total = text.len().saturating_add(widths).saturating_add(fields.saturating_mul(longest));
    // A long text may well contain long numbers that are no widths; only a result that could not be is refused.
    if total > MAX_RESULT_BYTES {
        return Err(invalid(format!("formatting might make {total} bytes, over the limit of {MAX_RESULT_BYTES}")));
    }
    Ok(())
}

/// Python's `%` on numbers: the result has the divisor's sign.
fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    let number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !number(left) || !number(right) {
        return Err(invalid(format!("unsupported operand types for %: {} and {}", left.kind(), right.kind())));
    }
    let integer = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        _ if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    if let (Some(left), Some(right)) = (integer(left), integer(right)) {
        if right == 0 {
            return Err(invalid("modulo by zero"));
        }
        let rest = left.wrapping_rem(right);
        let rest = if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest };
        return Ok(i64::try_from(rest).map_or_else(|_| Value::from(rest), Value::from));
    }
    let (left, right) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if right == 0.0 {
        return Err(invalid("modulo by zero"));
    }
    let rest = left % right;
    Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }))
}
