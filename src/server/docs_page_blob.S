/* The files of /docs, one after the other. */
#if defined(__APPLE__)
#define SYMBOL(name) _##name
    .section __TEXT,__const
#else
#define SYMBOL(name) name
    .section .rodata
#endif
    .globl SYMBOL(mlxd_docs_html)
    .globl SYMBOL(mlxd_docs_css)
    .globl SYMBOL(mlxd_docs_js)
    .globl SYMBOL(mlxd_docs_end)
SYMBOL(mlxd_docs_html):
    .incbin "docs_page/docs.html"
SYMBOL(mlxd_docs_css):
    .incbin "docs_page/docs.css"
SYMBOL(mlxd_docs_js):
    .incbin "docs_page/docs.js"
SYMBOL(mlxd_docs_end):
    .byte 0
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack,"",%progbits
#endif
