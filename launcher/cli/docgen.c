/* SPDX-License-Identifier: MIT */
/* dinv-docgen: the documents that are made from the tables, printed or written. Not installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cli/help.h"

static gboolean print_document(const char *text) {
    return fputs(text, stdout) >= 0 && fflush(stdout) == 0;
}

/* The README with a new table between its two lines, transfer full; NULL if it lacks them. */
static char *update_readme(const char *text) {
    const char *begin = strstr(text, DINV_README_BEGIN);
    const char *end = begin == NULL ? NULL : strstr(begin, DINV_README_END);
    if (end == NULL) {
        return NULL;
    }
    begin += strlen(DINV_README_BEGIN);
    g_autofree char *before = g_strndup(text, (gsize)(begin - text));
    g_autofree char *table = dinv_cli_help_readme_table();
    return g_strconcat(before, table, end, NULL);
}

/* Writes docs/dinv.1 and the README's table below `root`. */
static gboolean write_documents(const char *root) {
    g_autofree char *man_path = g_build_filename(root, "docs/dinv.1", NULL);
    g_autofree char *readme_path = g_build_filename(root, "README.md", NULL);
    g_autofree char *man = dinv_cli_help_man_page();
    g_autofree char *old_readme = NULL;
    g_autoptr(GError) error = NULL;
    if (g_file_get_contents(readme_path, &old_readme, NULL, &error)) {
        g_autofree char *readme = update_readme(old_readme);
        if (readme == NULL) {
            g_set_error(&error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s has no lines %.*s and %.*s",
                        readme_path, (int)strlen(DINV_README_BEGIN) - 1, DINV_README_BEGIN,
                        (int)strlen(DINV_README_END) - 1, DINV_README_END);
        } else if (g_file_set_contents(readme_path, readme, -1, &error) &&
                   g_file_set_contents(man_path, man, -1, &error)) {
            return TRUE;
        }
    }
    fprintf(stderr, "dinv-docgen: %s\n", error->message);
    return FALSE;
}

int main(int argc, char **argv) {
    g_autofree char *man = dinv_cli_help_man_page();
    g_autofree char *table = dinv_cli_help_readme_table();
    gboolean done = FALSE;
    if (argc == 2 && strcmp(argv[1], "man") == 0) {
        done = print_document(man);
    } else if (argc == 2 && strcmp(argv[1], "readme-table") == 0) {
        done = print_document(table);
    } else if (argc == 3 && strcmp(argv[1], "write") == 0) {
        done = write_documents(argv[2]);
    } else {
        fputs("usage: dinv-docgen man|readme-table|write SOURCE_ROOT\n", stderr);
    }
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
