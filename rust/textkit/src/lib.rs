//! Tokenizers, chat templates and grammar masks behind the C ABI that `include/textkit.h` describes.
//!
//! `abi` holds what every C function shares (views, owned text, the panic barrier); each of the three parts keeps
//! its C functions in its own `*_abi` module and its behaviour, testable from Rust, beside it.

mod abi;
mod counting_allocator;

pub mod grammar;
mod grammar_abi;

mod token_pieces;
pub mod tokenizer;
mod tokenizer_abi;

pub mod chat_template;
mod chat_template_abi;
mod python_format;
mod python_json;
mod python_methods;
mod python_repr;
mod python_time;
mod template_builtins;
mod template_source;

pub use abi::{Failure, Status};

#[global_allocator]
static ALLOCATOR: counting_allocator::CountingAllocator = counting_allocator::CountingAllocator;
