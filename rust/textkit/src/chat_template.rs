//! Chat templates, rendered as transformers renders them: Jinja2 with trimmed blocks, Python's methods and printing,
//! no escaping.
//!
//! A template comes with a downloaded model and is not to be trusted: steps, memory and output are bounded by fuel
//! and limits, and it runs on a stack of its own that is large enough for the deepest value that the fuel can build.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{escape_formatter, AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use crate::abi::{guard, Failure, Status};
use crate::python_methods;
use crate::python_repr::{is_float, python_str};
use crate::python_time::Moment;
use crate::template_builtins::{self, Raised};
use crate::template_source;

const TEMPLATE_NAME: &str = "chat_template";
const MAX_SOURCE_BYTES: usize = 4 << 20;
const MAX_OUTPUT_BYTES: usize = 64 << 20;
/// One unit pays for an instruction or 64 bytes; a thousand long messages need about a million.
const FUEL: u64 = 4_000_000;
const STACK_BYTES: usize = 512 << 20;
/// Names under which clients send a message's reasoning; templates read the first (and gpt-oss the second).
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

pub struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    pub fn parse(source: &str) -> Result<ChatTemplate, Failure> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Failure::new(
                Status::TooLarge,
                format!("chat template has {} bytes, more than the {MAX_SOURCE_BYTES} accepted", source.len()),
            ));
        }
        on_large_stack(|| {
            let mut environment = Environment::new();
            let syntax = SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|error| Failure::new(Status::Internal, error.to_string()))?;
            environment.set_syntax(syntax);
            environment.set_undefined_behavior(UndefinedBehavior::Lenient);
            environment.set_auto_escape_callback(|_| AutoEscape::None);
            environment.set_unknown_method_callback(python_methods::call);
            environment.set_formatter(|output, state, value| {
                if is_float(value) || matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Bytes) {
                    output.write_str(&python_str(value)?).map_err(Error::from)
                } else {
                    escape_formatter(output, state, value)
                }
            });
            environment.set_fuel(Some(FUEL));
            template_builtins::install(&mut environment);
            environment
                .add_template_owned(TEMPLATE_NAME, template_source::rewrite(source))
                .map_err(|error| describe(&error))?;
            Ok(ChatTemplate { environment })
        })
    }

    pub fn render(&self, messages_json: &str, variables_json: &str, now: Moment) -> Result<String, Failure> {
        on_large_stack(|| {
            let messages = json_value(messages_json, "messages")?;
            if messages.kind() != ValueKind::Seq {
                return Err(Failure::new(Status::Invalid, "messages must be a list"));
            }
            let variables = json_value(variables_json, "template variables")?;
            if variables.kind() != ValueKind::Map {
                return Err(Failure::new(Status::Invalid, "template variables must be an object"));
            }
            let mut context =
                vec![(Value::from("tools"), Value::from(())), (Value::from("documents"), Value::from(()))];
            context.extend(pairs(&variables));
            context.push((Value::from("messages"), alias_reasoning(&messages)));
            template_builtins::set_now(now);
            let template = self.environment.get_template(TEMPLATE_NAME).map_err(|error| describe(&error))?;
            let mut output = BoundedOutput(Vec::new());
            let rendered = template.render_captured_to(Value::from_pairs(context), &mut output).map(|_| ());
            rendered.map_err(|error| describe(&error))?;
            String::from_utf8(output.0).map_err(|error| Failure::new(Status::Internal, error.to_string()))
        })
    }
}

fn pairs(map: &Value) -> Vec<(Value, Value)> {
    map.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten().collect()
}

fn json_value(json: &str, what: &str) -> Result<Value, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::new(Status::Invalid, format!("{what} are not valid JSON: {error}")))
}

/// Gives reasoning sent under any of its names the names that templates read.
fn alias_reasoning(messages: &Value) -> Value {
    let Ok(items) = messages.try_iter() else { return messages.clone() };
    let aliased = items.map(|message| {
        let found = REASONING_FIELDS.iter().find_map(|field| {
            message.get_attr(field).ok().filter(|value| !value.is_none() && !value.is_undefined())
        });
        match found.filter(|_| message.kind() == ValueKind::Map) {
            Some(reasoning) => {
                let mut fields = pairs(&message);
                for name in ["thinking", "reasoning_content"] {
                    match fields.iter_mut().find(|(key, _)| key.as_str() == Some(name)) {
                        Some(_) if name == "thinking" => {}
                        Some((_, value)) => *value = reasoning.clone(),
                        None => fields.push((Value::from(name), reasoning.clone())),
                    }
                }
                Value::from_pairs(fields)
            }
            None => message,
        }
    });
    Value::from(aliased.collect::<Vec<Value>>())
}

/// Runs `body` on a thread whose stack takes the deepest recursion that the limits allow. Only the pages that are
/// touched cost memory.
fn on_large_stack<T: Send>(body: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("chat template".to_string())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || guard(body))
            .map_err(|error| Failure::new(Status::Internal, format!("cannot start a thread: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(Failure::new(Status::Internal, "chat template thread failed")))
    })
}

struct BoundedOutput(Vec<u8>);

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other(format!("the text is over the limit of {MAX_OUTPUT_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// raise_exception's own words, or the line and the cause.
fn describe(error: &Error) -> Failure {
    let mut causes = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(raised) = current.downcast_ref::<Raised>() {
            return Failure::new(Status::Invalid, raised.0.clone());
        }
        let (line, cause) = match current.downcast_ref::<Error>() {
            Some(error) => (error.line(), cause_of(error)),
            None => (None, current.to_string()),
        };
        causes.push(match line {
            Some(line) => format!("line {line}: {cause}"),
            None => cause,
        });
        next = current.source();
    }
    causes.dedup();
    let status = if error.kind() == ErrorKind::OutOfFuel { Status::TooLarge } else { Status::Invalid };
    Failure::new(status, format!("chat template: {}", causes.join("; ")))
}

fn cause_of(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it takes too many steps or too much memory".to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    }
}
