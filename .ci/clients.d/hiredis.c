/* hiredis: a command, a pipeline, a transaction. */
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
static redisReply *ask(redisContext *c, const char *text) {
    redisReply *reply = redisCommand(c, text);
    if (!reply) exit(1);
    return reply;
}
int main(int argc, char **argv) {
    redisContext *c = redisConnect("127.0.0.1", argc > 1 ? atoi(argv[1]) : 0);
    if (!c || c->err) return 1;
    if (strcmp(ask(c, "SET hi there")->str, "OK") || strcmp(ask(c, "GET hi")->str, "there")) return 2;
    for (int n = 0; n < 1000; n++) redisAppendCommand(c, "INCR pipelined");
    redisReply *reply = NULL;
    for (int n = 0; n < 1000; n++)
        if (redisGetReply(c, (void **)&reply) != REDIS_OK) return 3;
    if (reply->integer % 1000) return 4;
    ask(c, "MULTI");
    ask(c, "GET hi");
    reply = ask(c, "EXEC");
    return reply->elements == 1 && !strcmp(reply->element[0]->str, "there") ? 0 : 5;
}
