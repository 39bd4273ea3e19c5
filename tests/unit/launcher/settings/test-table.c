/* SPDX-License-Identifier: MIT */
/* What holds for every row of the table. */
#include "launcher/settings/names.h"
#include "tests/unit/lib/settings-load.h"

static void test_table(void) {
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) flags = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (const DinvSetting *setting = dinv_settings_table(); setting->name != NULL; setting++) {
        g_autofree char *flag = dinv_setting_flag(setting);
        g_assert_true(g_str_has_prefix(setting->name, "DINV_"));
        g_assert_true(g_hash_table_add(names, (char *)setting->name));
        g_assert_true(setting->alias == NULL || g_hash_table_add(names, (char *)setting->alias));
        g_assert_true(setting->fallback != NULL || setting->fallback_shown != NULL);
        g_assert_false(g_str_has_suffix(setting->help, "."));
        g_assert_true(setting->more == NULL || g_str_has_suffix(setting->more, "."));
        g_assert_true(g_hash_table_add(flags, g_steal_pointer(&flag)));
        g_assert_true((setting->choices != NULL) == (setting->type == DINV_TYPE_CHOICE));
        g_assert_true((setting->argument == NULL) == (setting->choices != NULL));
        g_assert_true(setting->foreign.name == NULL ||
                      g_hash_table_add(names, (char *)setting->foreign.name));
    }
}

/* A word means its value, wherever that stands in the enumeration. */
static void test_choices(void) {
    static const struct {
        const char *environment;
        DinvAccel accel;
        DinvMachineType machine;
        DinvPublish publish;
        DinvMountDriver driver;
        DinvLogLevel level;
    } cases[] = {
        {"DINV_ACCEL=auto|DINV_MACHINE=microvm|DINV_PUBLISH=on|DINV_MOUNT_DRIVER=9p|"
         "DINV_LOG_LEVEL=error",
         DINV_ACCEL_AUTO, DINV_MACHINE_TYPE_MICROVM, DINV_PUBLISH_ON, DINV_MOUNT_9P,
         DINV_LOG_ERROR},
        {"DINV_ACCEL=kvm|DINV_MACHINE=q35|DINV_PUBLISH=off|DINV_MOUNT_DRIVER=virtiofs|"
         "DINV_LOG_LEVEL=warning",
         DINV_ACCEL_KVM, DINV_MACHINE_TYPE_Q35, DINV_PUBLISH_OFF, DINV_MOUNT_VIRTIOFS,
         DINV_LOG_WARNING},
        {"DINV_ACCEL=tcg|DINV_MOUNT_DRIVER=auto|DINV_LOG_LEVEL=info", DINV_ACCEL_TCG,
         DINV_MACHINE_TYPE_MICROVM, DINV_PUBLISH_ON, DINV_MOUNT_AUTO, DINV_LOG_INFO},
        {"DINV_LOG_LEVEL=debug", DINV_ACCEL_AUTO, DINV_MACHINE_TYPE_MICROVM, DINV_PUBLISH_ON,
         DINV_MOUNT_9P, DINV_LOG_DEBUG},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Load) load = load_good(cases[i].environment, "");
        g_assert_cmpint(load->config->accel, ==, cases[i].accel);
        g_assert_cmpint(load->config->machine, ==, cases[i].machine);
        g_assert_cmpint(load->config->publish, ==, cases[i].publish);
        g_assert_cmpint(load->config->mount_driver, ==, cases[i].driver);
        g_assert_cmpint(load->config->log_level, ==, cases[i].level);
    }
    assert_refused("", "--mount-driver", DINV_SETTINGS_ERROR_FLAG,
                   "--mount-driver: needs a value (9p|virtiofs|auto)");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/table", test_table);
    g_test_add_func("/settings/choices", test_choices);
    return g_test_run();
}
