/* The web interface's files, as web/tools/pack.mjs has put them one after the other. */
#if defined(__APPLE__)
#define SYMBOL(name) _##name
    .section __TEXT,__const
#else
#define SYMBOL(name) name
    .section .rodata
#endif
    .globl SYMBOL(mlxd_web_blob)
    .balign 16
SYMBOL(mlxd_web_blob):
    .incbin "web_files.bin"
    .byte 0
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack,"",%progbits
#endif
