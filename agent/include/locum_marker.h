/* Puts product, asset and version into a binary, so that publishing can tell that the version given is the
 * one that was built. For apps, modules, bootloaders and microcontroller firmware in C or C++; includes
 * nothing.
 *
 *     #include <locum_marker.h>
 *     LOCUM_MARKER("demo", "reader", "1.2.3")
 *
 * once, at file scope, in one source file; the words are string literals, or macros of ones
 * (-DVERSION='"1.2.3"'). It is an ELF note of the name "Locum", type 1, in an allocated section
 * `.note.locum`: linkers keep notes also with
 * --gc-sections, strip keeps what is allocated, and `objcopy -O binary` copies its bytes, which begin with
 * "@(#)locum:1:" and are found there again (`strings` shows them). With a linker script of your own, keep the
 * section beside .rodata: KEEP(*(.note.locum)). A compiler without GNU assembler syntax cannot use it. */
#ifndef LOCUM_MARKER_H
#define LOCUM_MARKER_H

#define LOCUM_MARKER(product, asset, version)                                                                \
    __asm__(".pushsection .note.locum,\"a\",%note\n"                                                         \
            ".balign 4\n"                                                                                    \
            ".long 6\n" /* length of the name, with NUL */                                                   \
            ".long 992f - 991f\n"                                                                            \
            ".long 1\n"                                                                                      \
            ".asciz \"Locum\"\n"                                                                             \
            ".balign 4\n"                                                                                    \
            "991: .asciz \"@(#)locum:1:" product "/" asset ":" version "\\n\"\n"                             \
            "992: .balign 4\n"                                                                               \
            ".popsection\n");

#endif
