//! The C functions of chat templates.

use crate::abi::{deliver, guard, Status, Text, View};
use crate::chat_template::ChatTemplate;
use crate::python_time::Moment;

/// # Safety
/// As textkit.h says; so for every function here.
#[no_mangle]
pub unsafe extern "C" fn textkit_template_parse(
    source: View,
    chat_template: *mut *mut ChatTemplate,
    error: *mut Text,
) -> Status {
    deliver(chat_template, error, || {
        Ok(Box::into_raw(Box::new(ChatTemplate::parse(source.text("chat template")?)?)))
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_template_free(chat_template: *mut ChatTemplate) {
    if !chat_template.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(chat_template));
            Ok(())
        });
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_template_render(
    chat_template: *const ChatTemplate,
    messages_json: View,
    variables_json: View,
    now: Moment,
    text: *mut Text,
    error: *mut Text,
) -> Status {
    deliver(text, error, || {
        let messages = messages_json.text("messages")?;
        let variables = variables_json.text("template variables")?;
        Ok(Text::from_bytes((*chat_template).render(messages, variables, now)?.into_bytes()))
    })
}
