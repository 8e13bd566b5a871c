//! The C API of LiteRT (TensorFlow Lite), called.
//!
//! | function | of `tensorflow/lite/c/c_api.h`, unchanged since TensorFlow 2.4 |
//! |---|---|
//! | `TfLiteVersion` | text |
//! | `TfLiteModelCreate`, `…Delete` | a model on bytes that stay where they are |
//! | `TfLiteInterpreterOptionsCreate`, `…SetNumThreads`, `…AddDelegate`, `…Delete` | |
//! | `TfLiteInterpreterCreate`, `…AllocateTensors`, `…Invoke`, `…Delete` | |
//! | `TfLiteInterpreterGetInputTensorCount`, `…GetInputTensor`, and for outputs | tensors of the interpreter |
//! | `TfLiteTensorType`, `…NumDims`, `…Dim`, `…ByteSize`, `…CopyFromBuffer`, `…CopyToBuffer` | |
//!
//! An external delegate exports `tflite_plugin_create_delegate(keys, values, count, report)` and
//! `tflite_plugin_destroy_delegate(delegate)` (`tensorflow/lite/delegates/external/external_delegate.cc`).

#![allow(unsafe_code, reason = "functions of a library that is found at run time")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libloading::Library;

/// A delegate's way to tell what went wrong.
type Report = unsafe extern "C" fn(*const c_char);

/// The functions, and the library that they must not outlive.
struct Functions {
    version: unsafe extern "C" fn() -> *const c_char,
    model_create: unsafe extern "C" fn(*const c_void, usize) -> *mut c_void,
    model_delete: unsafe extern "C" fn(*mut c_void),
    options_create: unsafe extern "C" fn() -> *mut c_void,
    options_set_threads: unsafe extern "C" fn(*mut c_void, i32),
    options_add_delegate: unsafe extern "C" fn(*mut c_void, *mut c_void),
    options_delete: unsafe extern "C" fn(*mut c_void),
    interpreter_create: unsafe extern "C" fn(*const c_void, *const c_void) -> *mut c_void,
    interpreter_allocate: unsafe extern "C" fn(*mut c_void) -> c_int,
    interpreter_invoke: unsafe extern "C" fn(*mut c_void) -> c_int,
    interpreter_delete: unsafe extern "C" fn(*mut c_void),
    input_count: unsafe extern "C" fn(*const c_void) -> i32,
    input: unsafe extern "C" fn(*const c_void, i32) -> *mut c_void,
    output_count: unsafe extern "C" fn(*const c_void) -> i32,
    output: unsafe extern "C" fn(*const c_void, i32) -> *const c_void,
    tensor_type: unsafe extern "C" fn(*const c_void) -> c_int,
    tensor_dims: unsafe extern "C" fn(*const c_void) -> i32,
    tensor_dim: unsafe extern "C" fn(*const c_void, i32) -> i32,
    tensor_size: unsafe extern "C" fn(*const c_void) -> usize,
    copy_from: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    copy_to: unsafe extern "C" fn(*const c_void, *mut c_void, usize) -> c_int,
    _library: Library,
}

/// LiteRT's library.
#[derive(Clone)]
pub(super) struct Runtime(Arc<Functions>);

/// A delegate that is loaded, and the library that it must not outlive.
pub(super) struct ExternalDelegate {
    delegate: NonNull<c_void>,
    destroy: unsafe extern "C" fn(*mut c_void),
    _library: Library,
}

/// A model with its tensors allocated.
pub(super) struct Interpreter {
    interpreter: NonNull<c_void>,
    model: NonNull<c_void>,
    /// The interpreter uses these as long as it is there; a delegate may call into the library, which goes after it.
    _delegate: Option<ExternalDelegate>,
    _bytes: Arc<[u8]>,
    runtime: Runtime,
}

// SAFETY: the C API ties nothing to a thread; it asks only that one interpreter is not used by two at once, and every
// function here that changes one takes `&mut`.
unsafe impl Send for Interpreter {}

/// Type (a number of `TfLiteType`), sides and bytes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorInfo {
    pub(super) kind: i32,
    pub(super) sides: Vec<i32>,
    pub(super) bytes: usize,
}

/// Which of an interpreter's tensors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Input,
    Output,
}

/// What the linker says stands behind what libloading says.
fn told(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Runtime {
    /// Loads a library and finds the functions in it; returns what the linker says.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the library's initialisers. It is the one that the owner of this machine named or
        // installed, and is trusted as any other library is.
        let library = unsafe { Library::new(path) }.map_err(|error| told(&error))?;
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the signature is the one that the header gives for the name.
                *unsafe { library.get($name.as_bytes()) }.map_err(|error| told(&error))?
            };
        }
        Ok(Self(Arc::new(Functions {
            version: function!("TfLiteVersion"),
            model_create: function!("TfLiteModelCreate"),
            model_delete: function!("TfLiteModelDelete"),
            options_create: function!("TfLiteInterpreterOptionsCreate"),
            options_set_threads: function!("TfLiteInterpreterOptionsSetNumThreads"),
            options_add_delegate: function!("TfLiteInterpreterOptionsAddDelegate"),
            options_delete: function!("TfLiteInterpreterOptionsDelete"),
            interpreter_create: function!("TfLiteInterpreterCreate"),
            interpreter_allocate: function!("TfLiteInterpreterAllocateTensors"),
            interpreter_invoke: function!("TfLiteInterpreterInvoke"),
            interpreter_delete: function!("TfLiteInterpreterDelete"),
            input_count: function!("TfLiteInterpreterGetInputTensorCount"),
            input: function!("TfLiteInterpreterGetInputTensor"),
            output_count: function!("TfLiteInterpreterGetOutputTensorCount"),
            output: function!("TfLiteInterpreterGetOutputTensor"),
            tensor_type: function!("TfLiteTensorType"),
            tensor_dims: function!("TfLiteTensorNumDims"),
            tensor_dim: function!("TfLiteTensorDim"),
            tensor_size: function!("TfLiteTensorByteSize"),
            copy_from: function!("TfLiteTensorCopyFromBuffer"),
            copy_to: function!("TfLiteTensorCopyToBuffer"),
            _library: library,
        })))
    }

    /// Returns the library's version.
    pub(super) fn version(&self) -> String {
        // SAFETY: the function takes nothing and returns a static text that ends with a zero.
        let text = unsafe { CStr::from_ptr((self.0.version)()) };
        text.to_string_lossy().into_owned()
    }
}

impl ExternalDelegate {
    /// Loads a delegate's library and makes its delegate, with the settings it has by itself.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        type Create = unsafe extern "C" fn(
            *const *const c_char,
            *const *const c_char,
            usize,
            Option<Report>,
        ) -> *mut c_void;
        // SAFETY: as for the runtime.
        let library = unsafe { Library::new(path) }.map_err(|error| told(&error))?;
        // SAFETY: the signatures are those that every external delegate has.
        let create: Create =
            *unsafe { library.get(b"tflite_plugin_create_delegate") }.map_err(|error| told(&error))?;
        // SAFETY: as above.
        let destroy =
            *unsafe { library.get(b"tflite_plugin_destroy_delegate") }.map_err(|error| told(&error))?;
        // SAFETY: no settings are given, so that the lists may be null.
        let delegate = unsafe { create(ptr::null(), ptr::null(), 0, None) };
        let delegate = NonNull::new(delegate).ok_or("it makes no delegate: its device may be missing")?;
        Ok(Self { delegate, destroy, _library: library })
    }
}

impl Drop for ExternalDelegate {
    fn drop(&mut self) {
        // SAFETY: made by the same library and used by no interpreter any more: those own their delegate and are
        // deleted before their fields are dropped.
        unsafe { (self.destroy)(self.delegate.as_ptr()) };
    }
}

impl Interpreter {
    /// Makes an interpreter of a model and allocates its tensors, on one thread.
    pub(super) fn open(
        runtime: &Runtime,
        bytes: Arc<[u8]>,
        delegate: Option<ExternalDelegate>,
    ) -> Result<Self, String> {
        let api = &runtime.0;
        // SAFETY: the bytes live as long as the interpreter, which owns them.
        let model = NonNull::new(unsafe { (api.model_create)(bytes.as_ptr().cast(), bytes.len()) });
        let model = model.ok_or("it is no model that this library reads")?;
        // SAFETY: the options are used and deleted here; the delegate lives as long as the interpreter, which owns it.
        let interpreter = unsafe {
            let options = (api.options_create)();
            (api.options_set_threads)(options, 1);
            if let Some(delegate) = &delegate {
                (api.options_add_delegate)(options, delegate.delegate.as_ptr());
            }
            let interpreter = (api.interpreter_create)(model.as_ptr(), options);
            (api.options_delete)(options);
            interpreter
        };
        let Some(interpreter) = NonNull::new(interpreter) else {
            // SAFETY: nothing reads the model.
            unsafe { (api.model_delete)(model.as_ptr()) };
            return Err("it holds operations that the library or its delegate does not run".to_owned());
        };
        let made = Self { runtime: runtime.clone(), interpreter, model, _delegate: delegate, _bytes: bytes };
        // SAFETY: the interpreter is there. Should this fail, `made` is dropped and deletes it.
        match unsafe { (api.interpreter_allocate)(interpreter.as_ptr()) } {
            0 => Ok(made),
            status => Err(format!("its tensors cannot be allocated (status {status})")),
        }
    }

    fn tensor(&self, side: Side, at: i32) -> Result<NonNull<c_void>, String> {
        let (api, own) = (&self.runtime.0, self.interpreter.as_ptr());
        // SAFETY: the interpreter is there; numbers out of range are not asked for, and null is checked.
        let tensor = unsafe {
            match side {
                Side::Input => (api.input)(own, at),
                Side::Output => (api.output)(own, at).cast_mut(),
            }
        };
        NonNull::new(tensor).ok_or_else(|| format!("{side:?} {at} has no tensor"))
    }

    /// Describes the tensors of one side.
    pub(super) fn tensors(&self, side: Side) -> Result<Vec<TensorInfo>, String> {
        let (api, own) = (&self.runtime.0, self.interpreter.as_ptr());
        // SAFETY: the interpreter is there.
        let count = unsafe {
            match side {
                Side::Input => (api.input_count)(own),
                Side::Output => (api.output_count)(own),
            }
        };
        let info = |at| {
            let tensor = self.tensor(side, at)?.as_ptr();
            // SAFETY: the tensor is the interpreter's, and sides are asked for within their number.
            unsafe {
                let sides = (0..(api.tensor_dims)(tensor)).map(|side| (api.tensor_dim)(tensor, side));
                let (kind, bytes) = ((api.tensor_type)(tensor), (api.tensor_size)(tensor));
                Ok(TensorInfo { kind, sides: sides.collect(), bytes })
            }
        };
        (0..count).map(info).collect()
    }

    /// Copies bytes into an input; the library refuses a length that is not the tensor's.
    pub(super) fn write(&mut self, at: i32, bytes: &[u8]) -> Result<(), String> {
        let tensor = self.tensor(Side::Input, at)?;
        // SAFETY: the library reads as many bytes as it is told, and they are there.
        match unsafe { (self.runtime.0.copy_from)(tensor.as_ptr(), bytes.as_ptr().cast(), bytes.len()) } {
            0 => Ok(()),
            status => Err(format!("input {at} does not take {} bytes (status {status})", bytes.len())),
        }
    }

    /// Runs the model once.
    pub(super) fn invoke(&mut self) -> Result<(), String> {
        // SAFETY: the interpreter is there, its tensors are allocated, and `&mut` keeps others off it.
        match unsafe { (self.runtime.0.interpreter_invoke)(self.interpreter.as_ptr()) } {
            0 => Ok(()),
            status => Err(format!("the library reports status {status}")),
        }
    }

    /// Copies an output's bytes; the library refuses a length that is not the tensor's.
    pub(super) fn read(&self, at: i32, bytes: &mut [u8]) -> Result<(), String> {
        let tensor = self.tensor(Side::Output, at)?;
        // SAFETY: the library writes as many bytes as it is told, and there is room for them.
        match unsafe { (self.runtime.0.copy_to)(tensor.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) } {
            0 => Ok(()),
            status => Err(format!("output {at} does not give {} bytes (status {status})", bytes.len())),
        }
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        // SAFETY: both were made by this library and are used by nobody else; the interpreter reads the model, and
        // goes first.
        unsafe {
            (self.runtime.0.interpreter_delete)(self.interpreter.as_ptr());
            (self.runtime.0.model_delete)(self.model.as_ptr());
        }
    }
}
