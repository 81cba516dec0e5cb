/*
 * Preloaded into a lab node's libvirtd: statfs() reports GFS2 for the directories of HACLUSTER_LAB_GFS2 (a list
 * separated by colons) and everything below them. A lab's shared directory is one file system that all nodes see,
 * coherently, as GFS2 is; only its magic number differs, and by that number libvirt decides whether a live
 * migration is safe. With this it takes the same path as in production, without --unsafe.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#define GFS2_MAGIC 0x01161970

static int is_shared(const char *path)
{
    char real[PATH_MAX];
    const char *list = getenv("HACLUSTER_LAB_GFS2");

    if (!list || !path || !realpath(path, real))
        return 0;
    while (*list) {
        size_t length = strcspn(list, ":");

        if (length && !strncmp(real, list, length) && (real[length] == '/' || !real[length]))
            return 1;
        list += length + (list[length] == ':');
    }
    return 0;
}

int statfs(const char *path, struct statfs *found)
{
    int (*next)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
    int rc = next(path, found);

    if (!rc && is_shared(path))
        found->f_type = GFS2_MAGIC;
    return rc;
}

int statfs64(const char *path, struct statfs64 *found)
{
    int (*next)(const char *, struct statfs64 *) = dlsym(RTLD_NEXT, "statfs64");
    int rc = next(path, found);

    if (!rc && is_shared(path))
        found->f_type = GFS2_MAGIC;
    return rc;
}
