/**
 * The shapes that cross module borders. Types only: this module has no code.
 *
 * @module types
 */

/** @typedef {"stream" | "record" | "relay"} Mode */

/**
 * What presence says about a peer (docs/protocol.md, "presence").
 *
 * @typedef {object} Peer
 * @property {string} id
 * @property {string} user
 * @property {string} name
 * @property {string} [type] `"server"` for the server's own virtual peer.
 * @property {boolean} online
 * @property {Mode} [mode]
 * @property {string[]} [capabilities] `view`: it can be watched. `publish`: it takes media.
 */

/**
 * A routed Symple message.
 *
 * @typedef {object} Message
 * @property {string} type
 * @property {string} [subtype]
 * @property {string} [name] Of an event, such as `record:started`.
 * @property {string} [from] `user|id`, always set by the server.
 * @property {string | string[]} [to]
 * @property {boolean} [probe]
 * @property {unknown} [data]
 */

/**
 * Where the signalling connection stands; `broken`: it ended without a goodbye.
 *
 * @typedef {{name: "connecting"}
 *   | {name: "online"}
 *   | {name: "waiting", attempt: number, delayMs: number, broken: boolean}
 *   | {name: "refused", status: number, message: string}
 *   | {name: "stopped"}} Connection
 */

/**
 * `GET /api/config`, as far as this page reads it.
 *
 * @typedef {object} ServerConfig
 * @property {Mode} mode
 * @property {string} version
 * @property {{value: string, kind: string}} source
 * @property {string} exposure What anybody may do without a token, and what to set; often empty.
 * @property {Ice} ice
 */

/**
 * Which ways media may take.
 *
 * @typedef {object} Ice
 * @property {RTCIceServer[]} servers With a fresh TURN credential.
 * @property {RTCIceTransportPolicy} policy `relay`: by TURN alone.
 * @property {number} lifeMs How long that credential is good.
 */

/**
 * Why a call ended.
 *
 * `refused`: the server said no. `remote`: the server hung up. `local`: we did.
 * `lost`: it broke on the way, and calling again may well work.
 *
 * @typedef {object} CallEnd
 * @property {"refused" | "remote" | "local" | "lost"} kind
 * @property {string} reason
 * @property {string[]} [tried] The ways on which no media came through, a line each.
 * @property {string} [advice] What to change, where media found no way.
 */

/**
 * What the player area shows. `asking`: the browser asks the person for the camera. `waiting`: the
 * call stands, and nobody broadcasts. `playing`: media flow, in whichever direction.
 *
 * @typedef {"idle" | "asking" | "calling" | "connecting" | "waiting" | "playing" | "recovering" | "ended"} Phase
 */

/**
 * Whose part this browser has in a call: it is seen and heard, or it sees and hears.
 *
 * @typedef {"send" | "watch"} Part
 */

/**
 * `GET /api/status` of a relay, as far as this page reads it.
 *
 * @typedef {object} RelayStatus
 * @property {string} source The user who is live; empty: nobody.
 * @property {number} viewers Those that are connected.
 */

/**
 * A finished recording, as `GET /api/recordings` tells it.
 *
 * @typedef {object} Recording
 * @property {string} name Of its file.
 * @property {number} size In bytes.
 * @property {Date} start
 * @property {number} duration In seconds.
 * @property {string} codec As in `h264+opus`.
 * @property {number} width
 * @property {number} height
 * @property {boolean} recovered A crash left it behind, and the server repaired it.
 * @property {string} url Opens for a limited time where the server asks for a token.
 */

export {};
