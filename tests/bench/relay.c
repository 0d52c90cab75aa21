/* The floor of the bridge benchmark: RTP of pairs passed on in both directions, and nothing else, in C.
 *
 *   relay SECONDS            standard input: N, then the ports of N pairs of phones on 127.0.0.1, one side's then the other's
 *                            standard output: one line with the 2 N ports of the device, in the same order, then it runs
 *
 * One unconnected UDP socket per side, one epoll; each packet is given its own stream's sequence number, timestamp and source, as a relay
 * of two calls does, and sent on at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { EVENTS = 512, BYTES = 2048 };

struct side {
    int descriptor;
    struct sockaddr_in phone;
    uint32_t timestamp;
    uint16_t sequence;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int open_side(struct side *side, int index, int port, int poll) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    side->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (side->descriptor < 0 || bind(side->descriptor, (void *)&any, size)) return -1;
    epoll_ctl(poll, EPOLL_CTL_ADD, side->descriptor, &event);
    side->phone = any;
    side->phone.sin_port = htons(port);
    getsockname(side->descriptor, (void *)&any, &size);
    return ntohs(any.sin_port);
}

static void pass_on(struct side *from, struct side *to, int index) {
    static uint8_t packet[BYTES];
    struct sockaddr_in source;
    socklen_t size = sizeof source;
    ssize_t bytes = recvfrom(from->descriptor, packet, sizeof packet, 0, (void *)&source, &size);
    if (bytes < 12 || source.sin_port != from->phone.sin_port) return;
    uint16_t sequence = htons(++to->sequence);
    uint32_t timestamp = htonl(to->timestamp += 160), ssrc = htonl(0x2000u + index);
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    sendto(to->descriptor, packet, bytes, MSG_DONTWAIT, (void *)&to->phone, sizeof to->phone);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    struct rlimit limit;
    struct epoll_event events[EVENTS];
    int pairs, poll = epoll_create1(0);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (scanf("%d", &pairs) != 1 || pairs < 1) return 2;
    struct side *sides = calloc(2 * pairs, sizeof *sides);
    for (int i = 0; i < 2 * pairs; i++) {
        int port, ours;
        if (scanf("%d", &port) != 1 || (ours = open_side(&sides[i], i, port, poll)) < 0) return 2;
        printf("%d ", ours);
    }
    printf("\n");
    fflush(stdout);
    for (double end = now() + seconds; now() < end;) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            int from = events[i].data.u32, to = (from + pairs) % (2 * pairs);
            pass_on(&sides[from], &sides[to], to);
        }
    }
    return 0;
}
