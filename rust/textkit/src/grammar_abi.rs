//! The C functions of grammar masks.

use crate::abi::{deliver, guard, Status, Text, View};
use crate::grammar::{GrammarEnvironment, GrammarMatcher};
use crate::tokenizer::Tokenizer;

/// # Safety
/// As textkit.h says; so for every function here.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_environment_new(
    tokenizer: *const Tokenizer,
    vocab_size: u32,
    end_tokens: *const u32,
    num_end_tokens: usize,
    environment: *mut *mut GrammarEnvironment,
    error: *mut Text,
) -> Status {
    deliver(environment, error, || {
        let end_tokens =
            if num_end_tokens == 0 { &[][..] } else { std::slice::from_raw_parts(end_tokens, num_end_tokens) };
        Ok(Box::into_raw(Box::new(GrammarEnvironment::new(&*tokenizer, vocab_size, end_tokens)?)))
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_environment_free(environment: *mut GrammarEnvironment) {
    if !environment.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(environment));
            Ok(())
        });
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_new(
    environment: *const GrammarEnvironment,
    kind: View,
    source: View,
    matcher: *mut *mut GrammarMatcher,
    error: *mut Text,
) -> Status {
    deliver(matcher, error, || {
        let made = (*environment).matcher(kind.text("grammar kind")?, source.text("grammar")?)?;
        Ok(Box::into_raw(Box::new(made)))
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_copy(
    matcher: *const GrammarMatcher,
    copy: *mut *mut GrammarMatcher,
    error: *mut Text,
) -> Status {
    deliver(copy, error, || Ok(Box::into_raw(Box::new((*matcher).copy()))))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_fork(
    matcher: *const GrammarMatcher,
    fork: *mut *mut GrammarMatcher,
    error: *mut Text,
) -> Status {
    deliver(fork, error, || Ok(Box::into_raw(Box::new((*matcher).fork()))))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_allowed(
    matcher: *mut GrammarMatcher,
    tokens: *const u32,
    num_tokens: usize,
    count: *mut usize,
    error: *mut Text,
) -> Status {
    deliver(count, error, || {
        let tokens =
            if num_tokens == 0 { &[][..] } else { std::slice::from_raw_parts(tokens, num_tokens) };
        Ok((*matcher).allowed(tokens))
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_forced(
    matcher: *const GrammarMatcher,
    bytes: *mut Text,
    error: *mut Text,
) -> Status {
    deliver(bytes, error, || Ok(Text::from_bytes((*matcher).forced())))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_free(matcher: *mut GrammarMatcher) {
    if !matcher.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(matcher));
            Ok(())
        });
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_mask(
    matcher: *mut GrammarMatcher,
    words: *mut u32,
    num_words: usize,
    error: *mut Text,
) -> Status {
    let mut done = ();
    deliver(&mut done, error, || {
        let words = if num_words == 0 { &mut [][..] } else { std::slice::from_raw_parts_mut(words, num_words) };
        (*matcher).mask(words)
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_accept(
    matcher: *mut GrammarMatcher,
    token: u32,
    error: *mut Text,
) -> Status {
    let mut done = ();
    deliver(&mut done, error, || (*matcher).accept(token))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_grammar_matcher_state(
    matcher: *mut GrammarMatcher,
    accepting: *mut i32,
    stopped: *mut i32,
    error: *mut Text,
) -> Status {
    let mut state = (false, false);
    let status = deliver(&mut state, error, || Ok(((*matcher).is_accepting()?, (*matcher).is_stopped())));
    if status == Status::Ok {
        accepting.write(i32::from(state.0));
        stopped.write(i32::from(state.1));
    }
    status
}
