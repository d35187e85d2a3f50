//! `VisionResourceManager` for JavaScript. What is asked is answered by the call itself where nobody has to wait, so that a lease costs
//! no promise of napi's; what is waited for, and what nobody asked for, comes as [`news`].

mod answers;
mod estimate;
mod news;
mod views;

use std::path::PathBuf;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Function, PromiseRaw};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use runtime::gpu_driver::{self, Choice, FakeGpu, FakeMachine};
use runtime::vision_resource_manager::{
    Allocate, HolderId, ManagerError, ManagerOptions, Priority, Process, RequestId, ResourceManager,
    Settings, WarmModel,
};

use self::answers::asked;
use self::estimate::{EstimateOptions, MemoryEstimate};
use self::news::{GpuNews, Tell};
use self::views::{DeviceUse, Held};
use crate::error::Crossing;

/// Where questions and answers stand without an object being made for each: a view of JavaScript's memory that lives as long as the call.
type Slot<'call> = &'call mut [f64];

/// A GPU that is made up.
#[napi(object, object_to_js = false)]
pub struct NewFakeGpu {
    /// Its product's name.
    pub name: Option<String>,
    /// Bytes.
    pub total: f64,
}

/// What JavaScript passes; the wrapper has filled in the defaults.
#[napi(object, object_to_js = false)]
pub struct NewManager {
    /// `auto`, `nvml`, `fake` or `none`.
    pub driver: String,
    /// NVML's library, where it is not at a usual place.
    pub nvml_path: Option<String>,
    /// With `fake`.
    pub fake_gpus: Vec<NewFakeGpu>,
    /// Bytes of each GPU that are never given out.
    pub headroom: f64,
    /// How often the driver is read, in ms.
    pub poll_ms: u32,
}

/// What few leases say of themselves.
#[napi(object, object_to_js = false)]
pub struct NewLease {
    /// On whose account.
    pub owner: String,
    /// What for.
    pub model: Option<String>,
    /// Only on these; absent: any.
    pub devices: Option<Vec<u32>>,
}

/// A model that can be loaded; the wrapper has filled in the defaults.
#[napi(object, object_to_js = false)]
pub struct NewModel {
    /// Its name.
    pub name: String,
    /// Bytes of an instance.
    pub bytes: f64,
    /// How long a load takes, in ms, until one was measured.
    pub load_ms: f64,
    /// Instances at most.
    pub replicas: u32,
    /// Uses of an instance at once; absent: any number.
    pub concurrency: Option<u32>,
}

/// The manager of the core, with this process as the only one that holds anything.
#[napi]
pub struct VisionResourceManager {
    manager: ResourceManager,
    holder: HolderId,
    tell: Arc<Tell>,
}

#[napi]
impl VisionResourceManager {
    /// Reads the driver. `hear` is called from the event loop, which that does not keep alive.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: NewManager, hear: Function<'_, GpuNews, ()>) -> napi::Result<Self> {
        let path = options.nvml_path.map(PathBuf::from);
        let choice = match &*options.driver {
            "nvml" => Choice::Nvml { path },
            "fake" => Choice::Fake(FakeMachine::new(
                options.fake_gpus.into_iter().map(|gpu| FakeGpu { name: gpu.name, total: gpu.total as u64 }),
            )),
            "none" => Choice::None,
            _ => Choice::Auto { path },
        };
        let driver = gpu_driver::open(choice)
            .map_err(|error| Crossing::from(ManagerError::NoGpu { tried: error.to_string() }))?;
        let settings = Settings { headroom: options.headroom as u64, ..Settings::default() };
        let options =
            ManagerOptions { settings, poll_ms: options.poll_ms.into(), ..ManagerOptions::default() };
        let manager = ResourceManager::new(driver, options).map_err(Crossing::from)?;
        let tell = Arc::new(hear.build_threadsafe_function::<GpuNews>().weak::<true>().build()?);
        let own = Arc::clone(&tell);
        let listener = move |decision| {
            if let Some(news) = GpuNews::of_decision(decision) {
                // Fails only while the environment is being torn down, when nobody listens any more.
                own.call(news, ThreadsafeFunctionCallMode::NonBlocking);
            }
        };
        let holder = manager
            .join(Process { pid: std::process::id(), started: None }, listener)
            .map_err(Crossing::from)?;
        Ok(Self { manager, holder, tell })
    }

    /// Asks for memory. `numbers` says how much: the bytes, the GPUs, the place of the priority, how many ms it shall live, how many
    /// ms it waits, and the ms of grace, below 0 where it is not preemptible.
    ///
    /// 0: it is granted, and in place of that stand the lease, how many ms are left of it, and for each GPU its place and the bytes.
    /// Otherwise the number of the request, which waits.
    #[napi(catch_unwind)]
    pub fn allocate(
        &self,
        #[napi(ts_arg_type = "Float64Array")] numbers: Slot<'_>,
        more: Option<NewLease>,
    ) -> napi::Result<f64> {
        let &mut [bytes, gpus, priority, duration_ms, wait_ms, grace_ms, ..] = numbers else {
            return Err(Crossing::internal("the wrapper gave too few numbers").into());
        };
        let mut request = Allocate {
            gpus: gpus as u32,
            priority: priority_of(priority as u32)?,
            duration_ms: duration_ms as u64,
            wait_ms: wait_ms as u64,
            preemptible: grace_ms >= 0.0,
            grace_ms: grace_ms as u64,
            ..Allocate::new(bytes as u64)
        };
        if let Some(NewLease { owner, model, devices }) = more {
            request.owner = owner.into_boxed_str();
            request.model = model.map(String::into_boxed_str);
            request.devices = devices.into_iter().flatten().map(|device| device as usize).collect();
        }
        let answer =
            asked(&self.tell, GpuNews::granted, |answer| self.manager.allocate(self.holder, request, answer));
        match answer.map_err(Crossing::from)? {
            Err(waits) => Ok(waits as f64),
            Ok(granted) => {
                let left = granted.expires_at.saturating_sub(self.manager.now());
                let shares =
                    granted.shares.iter().flat_map(|share| [share.device as f64, share.bytes as f64]);
                let said = [granted.lease as f64, left as f64].into_iter().chain(shares);
                for (place, number) in numbers.iter_mut().zip(said) {
                    *place = number;
                }
                Ok(0.0)
            }
        }
    }

    /// Of `allocate` and `use_model`: the caller does not want it any longer.
    #[napi(catch_unwind)]
    pub fn cancel(&self, request: f64) {
        self.manager.cancel(self.holder, request as RequestId);
    }

    /// How many ms are left of the lease then.
    #[napi(catch_unwind)]
    pub fn renew(&self, lease: f64, duration_ms: f64) -> napi::Result<f64> {
        let renewed = self.manager.renew(self.holder, lease as u64, duration_ms as u64);
        Ok(renewed.map_err(Crossing::from)?.saturating_sub(self.manager.now()) as f64)
    }

    /// Gives a lease back.
    #[napi(catch_unwind)]
    pub fn release(&self, lease: f64) -> napi::Result<()> {
        Ok(self.manager.release(self.holder, lease as u64).map_err(Crossing::from)?)
    }

    /// What time it is for leases, in ms; those of news are of the same clock.
    #[napi(catch_unwind)]
    pub fn now(&self) -> f64 {
        self.manager.now() as f64
    }

    /// The devices, as they were read last.
    #[napi(catch_unwind)]
    pub fn usage(&self) -> Vec<DeviceUse> {
        self.manager.usage().into_iter().map(DeviceUse::from).collect()
    }

    /// Leases, oldest first, and then those that wait, first in line first.
    #[napi(catch_unwind)]
    pub fn held(&self) -> Vec<Held> {
        let (leases, waiting) = (self.manager.leases(), self.manager.waiting());
        leases.into_iter().map(Held::from).chain(waiting.into_iter().map(Held::from)).collect()
    }

    /// What a model takes of a GPU, from the header of its file.
    #[napi(catch_unwind)]
    pub fn estimate<'env>(
        &self,
        env: &'env Env,
        path: String,
        options: EstimateOptions,
    ) -> napi::Result<PromiseRaw<'env, MemoryEstimate>> {
        estimate::estimate(env, path, options)
    }

    /// A model that can be loaded.
    #[napi(catch_unwind)]
    pub fn register(&self, model: NewModel) -> napi::Result<()> {
        let model = WarmModel {
            holder: self.holder,
            model: model.name.into_boxed_str(),
            owner: None,
            bytes: model.bytes as u64,
            load_ms: model.load_ms as u64,
            replicas: model.replicas,
            concurrency: model.concurrency,
        };
        Ok(self.manager.register(model).map_err(Crossing::from)?)
    }

    /// Asks to use a model: as `allocate`, but `out` says the request and the lease of the instance.
    #[napi(catch_unwind)]
    pub fn use_model(
        &self,
        #[napi(ts_arg_type = "Float64Array")] out: Slot<'_>,
        model: String,
        priority: u32,
        wait_ms: f64,
    ) -> napi::Result<f64> {
        let priority = priority_of(priority)?;
        let answer = asked(&self.tell, GpuNews::started, |answer| {
            self.manager.use_model(self.holder, &model, priority, wait_ms as u64, answer)
        });
        match answer.map_err(Crossing::from)? {
            Err(waits) => Ok(waits as f64),
            Ok(started) => {
                for (place, number) in out.iter_mut().zip([started.request, started.lease]) {
                    *place = number as f64;
                }
                Ok(0.0)
            }
        }
    }

    /// A use has ended.
    #[napi(catch_unwind)]
    pub fn done(&self, request: f64) {
        self.manager.done(self.holder, request as RequestId);
    }

    /// An instance is loaded, which took so many ms.
    #[napi(catch_unwind)]
    pub fn loaded(&self, lease: f64, took_ms: f64) {
        self.manager.loaded(self.holder, lease as u64, took_ms as u64);
    }

    /// It could not be loaded.
    #[napi(catch_unwind)]
    pub fn load_failed(&self, lease: f64) {
        self.manager.load_failed(self.holder, lease as u64);
    }

    /// It is unloaded.
    #[napi(catch_unwind)]
    pub fn unloaded(&self, lease: f64) {
        self.manager.unloaded(self.holder, lease as u64);
    }

    /// Which instances are to be unloaded, so that so many bytes are free, or those that block more than they cost to load again.
    #[napi(catch_unwind)]
    pub fn optimize(&self, target_free: Option<f64>, device: Option<u32>) -> Vec<f64> {
        let goes = self
            .manager
            .optimize(target_free.map(|bytes| bytes as u64), device.map(|device| device as usize));
        goes.into_iter().map(|lease| lease as f64).collect()
    }

    /// Ends everything that waits, and the thread.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.manager.close();
    }
}

/// In the order in which the wrapper counts them.
fn priority_of(place: u32) -> Result<Priority, Crossing> {
    let found = Priority::ALL.get(place as usize).copied();
    found.ok_or_else(|| Crossing::internal(&format!("the wrapper let a priority {place} through")))
}
