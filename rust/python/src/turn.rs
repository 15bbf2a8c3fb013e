//! The TURN server, and the client that tests it.

use std::path::PathBuf;
use std::time::Duration;

use icey_turn_server::{ProbeConfig, ProtocolConfig, TlsConfig, TurnConfig, TurnTransport};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::Engine;
use crate::error::{self, detached};

#[pyclass(frozen, module = "icey._core")]
pub struct TurnServer(icey_turn_server::TurnServer);

#[pymethods]
impl TurnServer {
    #[new]
    #[pyo3(
        signature = (
            engine, *, host="0.0.0.0", port=3478, tls_port=None, certificate=PathBuf::new(),
            key=PathBuf::new(), realm, secret, external_ip="",
            allow_internet_relay=false, allow_local_relay=false, refused_ports=Vec::new(),
            max_allocations, user_quota, address_quota=0, max_bitrate, relay_ports
        ),
        text_signature = "(engine, *, host='0.0.0.0', port=3478, tls_port=None, certificate='', \
            key='', realm, secret, external_ip='', \
            allow_internet_relay=False, allow_local_relay=False, refused_ports=(), \
            max_allocations, user_quota, address_quota=0, max_bitrate, relay_ports)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        engine: &Engine,
        host: &str,
        port: u16,
        tls_port: Option<u16>,
        certificate: PathBuf,
        key: PathBuf,
        realm: &str,
        secret: &[u8],
        external_ip: &str,
        allow_internet_relay: bool,
        allow_local_relay: bool,
        refused_ports: Vec<u16>,
        max_allocations: usize,
        user_quota: usize,
        address_quota: usize,
        max_bitrate: u64,
        relay_ports: (u16, u16),
    ) -> PyResult<Self> {
        if secret.is_empty() || realm.is_empty() {
            return Err(PyValueError::new_err("secret and realm: not empty"));
        }
        if relay_ports.0 == 0 || relay_ports.0 > relay_ports.1 {
            return Err(PyValueError::new_err(
                "relay_ports: the first, not 0, and the last, not below the first",
            ));
        }
        let config = TurnConfig {
            host: host.to_owned(),
            port,
            tls: tls_port.map(|port| TlsConfig {
                port,
                certificate,
                key,
            }),
            external_ip: external_ip.to_owned(),
            relay_ports,
            protocol: ProtocolConfig {
                realm: realm.to_owned(),
                secret: secret.to_vec(),
                allow_internet_relay,
                allow_local_relay,
                refused_ports,
                max_allocations,
                user_quota,
                address_quota,
                max_bitrate,
                ..ProtocolConfig::default()
            },
        };
        detached(py, || {
            icey_turn_server::TurnServer::new(engine.0.short_cut(), &config)
        })
        .map(Self)
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    #[getter]
    fn tls_port(&self) -> Option<u16> {
        self.0.tls_port()
    }

    fn stats(&self, py: Python<'_>) -> TurnStats {
        TurnStats(py.detach(|| self.0.stats()))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, module = "icey._core")]
pub struct TurnStats(icey_turn_server::TurnStats);

/// The counters under the names that they have in Python.
macro_rules! counters {
    ($($name:ident: $type:ty = $($field:ident).+;)*) => {
        #[pymethods]
        impl TurnStats {
            $(#[getter]
            fn $name(&self) -> $type {
                self.0.$($field).+
            })*

            #[getter]
            fn refusals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let counts = PyDict::new(py);
                for (reason, count) in self.0.protocol.by_refusal() {
                    counts.set_item(reason.name(), count)?;
                }
                Ok(counts)
            }
        }
    };
}

counters! {
    allocations: usize = protocol.allocations;
    allocations_total: u64 = protocol.allocations_total;
    packets_to_peers: u64 = protocol.to_peers.packets;
    bytes_to_peers: u64 = protocol.to_peers.bytes;
    packets_from_peers: u64 = protocol.to_clients.packets;
    bytes_from_peers: u64 = protocol.to_clients.bytes;
    packets_short_cut: u64 = packets_short_cut;
    packets_dropped: u64 = packets_dropped;
    connections: u64 = connections;
    connections_total: u64 = connections_total;
    connections_refused: u64 = connections_refused;
    connections_dropped: u64 = connections_dropped;
    panics: u64 = panics;
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct TurnProbe {
    relayed_address: String,
    mapped_address: String,
    round_trip_ms: f64,
}

#[pymethods]
impl TurnProbe {
    fn __repr__(&self) -> String {
        format!(
            "TurnProbe(relayed_address={:?}, mapped_address={:?}, round_trip_ms={:.2})",
            self.relayed_address, self.mapped_address, self.round_trip_ms
        )
    }
}

#[pyfunction]
#[pyo3(
    signature = (
        host, port, *, transport="udp", username, credential, certificate=PathBuf::new(), echo="",
        timeout=5.0
    ),
    text_signature = "(host, port, *, transport='udp', username, credential, certificate='', \
        echo='', timeout=5.0)"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn probe_turn(
    py: Python<'_>,
    host: &str,
    port: u16,
    transport: &str,
    username: &str,
    credential: &str,
    certificate: PathBuf,
    echo: &str,
    timeout: f64,
) -> PyResult<TurnProbe> {
    if !(0.001..=600.0).contains(&timeout) {
        return Err(PyValueError::new_err("timeout: 0.001 to 600"));
    }
    let transport = match transport {
        "udp" => TurnTransport::Udp,
        "tcp" => TurnTransport::Tcp,
        "tls" if certificate.as_os_str().is_empty() => {
            return Err(PyValueError::new_err(
                "transport tls: with a certificate only",
            ));
        }
        "tls" => TurnTransport::Tls,
        other => {
            return Err(PyValueError::new_err(format!(
                "transport {other:?}: udp, tcp or tls"
            )));
        }
    };
    let echo = match echo {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            PyValueError::new_err(format!("echo {text:?}: an IP address and a port"))
        })?),
    };
    let config = ProbeConfig {
        host: host.to_owned(),
        port,
        transport,
        username: username.to_owned(),
        credential: credential.to_owned(),
        certificate,
        echo,
        timeout: Duration::from_secs_f64(timeout),
    };
    let seen = py
        .detach(|| icey_turn_server::probe_turn(&config))
        .map_err(|failure| error::probe_to_python(py, &failure))?;
    Ok(TurnProbe {
        relayed_address: seen.relayed.to_string(),
        mapped_address: seen.mapped.to_string(),
        round_trip_ms: seen.round_trip.as_secs_f64() * 1000.0,
    })
}
