/* The floor of the hold benchmark: what a media worker does for callers on hold, and nothing else, in C.
 *
 *   floor SECONDS            standard input: N, then the N ports of the phones on 127.0.0.1
 *                            standard output: a line with the N ports of the device, then it runs
 *
 * One unconnected UDP socket per caller, four slots of 5 ms by absolute deadlines, a packet per caller and 20 ms with its own place in the
 * music, the kernel filter that lets two packets of 64 and all digits through, one epoll for what passes. No commands, no digits, no RTCP,
 * no statistics: so it is a bound that a whole program cannot reach, and what a whole program costs is told as a multiple of it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { SLOTS = 4, HEADER = 12, FRAME = 160, PACKET = HEADER + FRAME, FRAMES = 1400, EVENTS = 512 };
#define SLOT_NS 5000000LL

struct call {
    int descriptor;
    struct sockaddr_in phone;
    uint32_t timestamp, frame;
    uint16_t sequence;
    uint8_t packet[PACKET];
};

static uint8_t music[FRAMES][FRAME];

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(int64_t when) {
    struct timespec t = {when / 1000000000LL, when % 1000000000LL};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void attach_filter(int descriptor) {
    struct sock_filter code[] = {
        {0x30, 0, 0, 8},  {0x54, 0, 0, 0xC0}, {0x15, 0, 6, 0x80}, {0x30, 0, 0, 9},      {0x54, 0, 0, 0x7F}, {0x15, 0, 3, 0},
        {0x28, 0, 0, 10}, {0x54, 0, 0, 0x3E}, {0x15, 0, 1, 0},    {0x06, 0, 0, 0xFFFF}, {0x06, 0, 0, 0},
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) perror("filter");
}

static int open_call(struct call *call, int index, int port, int poll) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    struct epoll_event event = {.events = EPOLLIN};
    call->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (call->descriptor < 0 || bind(call->descriptor, (void *)&any, size)) return -1;
    attach_filter(call->descriptor);
    event.data.fd = call->descriptor;
    epoll_ctl(poll, EPOLL_CTL_ADD, call->descriptor, &event);
    call->phone = any;
    call->phone.sin_port = htons(port);
    call->frame = index * 7 % FRAMES;
    call->packet[0] = 0x80;
    memcpy(call->packet + 8, &index, 4);
    getsockname(call->descriptor, (void *)&any, &size);
    return ntohs(any.sin_port);
}

static int send_frame(struct call *call) {
    uint16_t sequence = htons(++call->sequence);
    uint32_t timestamp = htonl(call->timestamp += FRAME);
    memcpy(call->packet + 2, &sequence, 2);
    memcpy(call->packet + 4, &timestamp, 4);
    memcpy(call->packet + HEADER, music[call->frame], FRAME);
    if (++call->frame == FRAMES) call->frame = 0;
    return sendto(call->descriptor, call->packet, PACKET, MSG_DONTWAIT, (void *)&call->phone, sizeof call->phone) == PACKET;
}

static long read_all(int poll) {
    static struct epoll_event events[EVENTS];
    static uint8_t buffer[2048];
    struct sockaddr_in from;
    long heard = 0;
    int count = epoll_wait(poll, events, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        socklen_t size = sizeof from;
        heard += recvfrom(events[i].data.fd, buffer, sizeof buffer, 0, (void *)&from, &size) > 0;
    }
    return heard;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    struct rlimit limit;
    int count, poll = epoll_create1(0);
    long sent = 0, heard = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (scanf("%d", &count) != 1 || count < 1) return 2;
    struct call *calls = calloc(count, sizeof *calls);
    for (int i = 0; i < FRAMES; i++) memset(music[i], i, FRAME);
    for (int i = 0; i < count; i++) {
        int port, ours;
        if (scanf("%d", &port) != 1 || (ours = open_call(&calls[i], i, port, poll)) < 0) return 2;
        printf("%d ", ours);
    }
    printf("\n");
    fflush(stdout);
    int64_t start = now(), end = start + (int64_t)(seconds * 1e9);
    for (int64_t tick = 1; start + tick * SLOT_NS < end; tick++) {
        sleep_until(start + tick * SLOT_NS);
        for (int i = tick % SLOTS; i < count; i += SLOTS) sent += send_frame(&calls[i]);
        heard += read_all(poll);
    }
    fprintf(stderr, "floor: %ld sent, %ld heard\n", sent, heard);
    return 0;
}
