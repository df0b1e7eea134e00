// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Node's cluster module: the primary process accepts, and passes each connection on.
'use strict';
const cluster = require('node:cluster');
const net = require('node:net');
const os = require('node:os');

const workers = os.availableParallelism ? os.availableParallelism() : os.cpus().length;

cluster.schedulingPolicy = cluster.SCHED_RR;
if (cluster.isPrimary) {
        for (let i = 0; i < workers; i++) {
                cluster.fork();
        }
} else {
        net.createServer({ noDelay: true }, (socket) => {
                socket.on('data', (data) => socket.write(data));
                socket.on('error', () => socket.destroy());
        }).listen({ port: 7103, host: '0.0.0.0', backlog: 4096 });
}
